"""The options about who proves identities: Keystone, and an issuer of JWTs."""

from __future__ import annotations

import click

from rq_broker.cli.option import DEFAULTS, Decorator, option

PROVIDER_OPTIONS: dict[str, Decorator] = {
    "keystone_cloud": option(
        "--keystone-cloud",
        "Cloud of clouds.yaml whose Keystone checks X-Auth-Token.",
        metavar="CLOUD",
        show_default="accept no tokens of Keystone",
    ),
    "keystone_owner": option(
        "--keystone-owner",
        "What of a token's project is the owner.",
        type=click.Choice(["id", "name"]),
    ),
    "keystone_domain": option(
        "--keystone-domain",
        "The only domain of Keystone whose projects are let in.",
        metavar="ID",
        show_default="every domain with ids, 'default' with names",
    ),
    "keystone_roles": option(
        "--keystone-roles",
        "Keystone's roles and the broker's; the first that a token has decides.",
        metavar="THEIRS=OURS,…",
        show_default=",".join(DEFAULTS["keystone_roles"]),
    ),
    "jwt_issuer": option(
        "--jwt-issuer",
        "Issuer whose JWTs are accepted.",
        metavar="ISS",
        show_default="accept no JWTs",
    ),
    "jwt_audience": option(
        "--jwt-audience",
        "Audience that a JWT must have.",
        metavar="AUD",
        show_default="required with --jwt-issuer",
    ),
    "jwt_keys": option(
        "--jwt-keys",
        "The issuer's public keys, a JWK Set.",
        metavar="URL|FILE",
        show_default="required with --jwt-issuer",
    ),
    "jwt_owner": option(
        "--jwt-owner", "Claim of a JWT that names the owner or owners.", metavar="CLAIM"
    ),
    "jwt_role": option(
        "--jwt-role", "Claim of a JWT that has the roles of its issuer.", metavar="CLAIM"
    ),
    "jwt_roles": option(
        "--jwt-roles",
        "The issuer's roles and the broker's; the first that a JWT has decides.",
        metavar="THEIRS=OURS,…",
        show_default="the broker's own names, admin first",
    ),
    "oidc_client": option(
        "--oidc-client",
        "Client id at --jwt-issuer with which browsers sign in there.",
        metavar="ID",
        show_default="no sign-in there",
    ),
    "oidc_secret_file": option(
        "--oidc-secret-file",
        "File of the secret that goes with --oidc-client.",
        metavar="FILE",
        show_default="a public client",
    ),
    "oidc_scope": option("--oidc-scope", "What a sign-in asks the issuer for.", metavar="WORDS"),
}
