"""The providers of identities that settings name: Keystone, and an issuer of JWTs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rq_broker.cli.secret_files import read_secret
from rq_broker.domain.errors import Invalid
from rq_broker.identity import Authenticator
from rq_broker.settings import Settings

if TYPE_CHECKING:
    from rq_broker.identity.oidc import OidcSignIn


def providers_of(settings: Settings) -> list[Authenticator]:
    """Return what asks the configured providers; nothing is sent yet.

    Raises:
        Invalid: A setting is wrong or missing, or the packages of its extra are not installed.
    """
    providers: list[Authenticator] = []
    if settings.jwt_issuer or settings.jwt_audience or settings.jwt_keys:
        providers.append(_jwt(settings))
    if settings.keystone_cloud:
        providers.append(_keystone(settings))
    return providers


def _keystone(settings: Settings) -> Authenticator:
    with _extra("--keystone-cloud", "openstack"):
        from rq_broker.identity.keystone import KeystoneAuthenticator  # noqa: PLC0415 - an extra
        from rq_broker.sources.failures import SourceFailed  # noqa: PLC0415 - only with Keystone
    try:
        return KeystoneAuthenticator(
            cloud=settings.keystone_cloud,
            roles=settings.keystone_roles,
            owner=settings.keystone_owner,
            domain=settings.keystone_domain,
        )
    except SourceFailed as error:
        raise Invalid(f"--keystone-cloud {settings.keystone_cloud}: {error}") from error


def _jwt(settings: Settings) -> Authenticator:
    with _extra("--jwt-issuer", "jwt"):
        from rq_broker.identity.jwt import JwtAuthenticator  # noqa: PLC0415 - an extra
        from rq_broker.identity.jwt_claims import ClaimReader  # noqa: PLC0415 - only with JWTs
        from rq_broker.identity.jwt_keys import IssuerKeys  # noqa: PLC0415 - an extra
    issuer, audience, keys = settings.jwt_issuer, settings.jwt_audience, settings.jwt_keys
    if not (issuer and audience and keys):
        raise Invalid("--jwt-issuer, --jwt-audience and --jwt-keys go together: give all three")
    claims = ClaimReader(
        issuer=issuer,
        audience=audience,
        owner=settings.jwt_owner,
        role=settings.jwt_role,
        roles=settings.jwt_roles,
    )
    return JwtAuthenticator(IssuerKeys(keys), claims)


def issuer_of(settings: Settings, authenticators: Iterable[Authenticator]) -> OidcSignIn | None:
    """Return where browsers sign in; None if nowhere. Nothing is sent yet. Raises Invalid."""
    if settings.oidc_client is None:
        return None
    with _extra("--oidc-client", "jwt"):
        from rq_broker.identity.jwt import JwtAuthenticator  # noqa: PLC0415 - an extra
        from rq_broker.identity.oidc import OidcClient, OidcSignIn  # noqa: PLC0415 - an extra
    path, issuer = settings.oidc_secret_file, settings.jwt_issuer
    secret = read_secret(path, "--oidc-secret-file").strip() if path else ""
    for authenticator in authenticators:
        if isinstance(authenticator, JwtAuthenticator) and issuer:
            client = OidcClient(issuer, settings.oidc_client, secret, settings.oidc_scope)
            return OidcSignIn(client, authenticator)
    raise Invalid("--oidc-client goes with --jwt-issuer, whose JWTs say who has signed in")


@contextmanager
def _extra(option: str, name: str) -> Iterator[None]:
    """Say which extra to install if what runs within cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise Invalid(f"{option}: {error}; pip install 'rq-broker[{name}]'") from error
