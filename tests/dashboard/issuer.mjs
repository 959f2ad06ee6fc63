// A certified OpenID Connect provider for a test: issuer.mjs PORT REDIRECT_URI, run where oidc-provider is.
// It has one client; whoever signs in has the role "ops". Prints a line once it listens.
import { createRequire } from "module";
import { pathToFileURL } from "url";

const found = createRequire(process.cwd() + "/").resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(found));
const [port, redirect] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "rq-broker", client_secret: "secret", redirect_uris: [redirect] }],
  claims: { openid: ["sub"], roles: ["roles"] },
  conformIdTokenClaims: false, // the ID token has the role, as it is the only JWT
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, roles: ["ops"] }) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
