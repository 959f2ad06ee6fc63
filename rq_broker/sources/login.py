"""Logs in to Keystone and finds a service in its catalogue, apart from the requests to the service.

What Keystone answers never counts as an answer of the service: its 404, for a deleted application
credential, must not read as a deleted provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from keystoneauth1 import exceptions as keystone
from keystoneauth1.access import AccessInfo
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import ConfigException

from rq_broker.sources.failures import (
    STATUS_FAILURES,
    Faulty,
    Misconfigured,
    Refused,
    SourceFailed,
)
from rq_broker.sources.openstack_errors import connection_failure, json_of, sentence_of

BUSY = (408, 425, 429)
"""Statuses below 500 that say nothing about the login."""

FAILURES: tuple[tuple[tuple[type[Exception], ...], type[SourceFailed]], ...] = (
    ((keystone.AuthorizationFailure,), Refused),
    ((keystone.CatalogException, keystone.AuthPluginException, ConfigException), Misconfigured),
)
"""Exceptions of a login that has an answer → the broker's; the first row that fits."""


class Access(NamedTuple):
    """What a request to the service needs."""

    headers: Mapping[str, str]
    """With the token."""
    endpoint: str
    """The service's URL."""


class Login:
    """The login of one service; its threads may share it."""

    def __init__(self, region: CloudRegion, adapter: Adapter) -> None:
        self._session = region.get_session()
        self._adapter = adapter
        self._name = adapter.service_type or ""
        self._lock = Lock()

    def access(self) -> Access:
        """Return a token that is valid for some more minutes, and the service's URL.

        Raises:
            SourceFailed: The class says how the login failed; never Missing.
        """
        try:
            headers = self._session.get_auth_headers() or {}
            endpoint = self._adapter.get_endpoint()
        except Exception as error:  # a broken body makes the library raise anything
            raise login_failure(error) from error
        if not endpoint:
            raise Misconfigured(self._not_in_catalogue())
        return Access(headers, endpoint)

    def renewed(self, refused: Access) -> Access | None:
        """Log in again after a service has refused a token; None if there is nothing but that one.

        Of several threads whose token was refused, the first logs in.
        """
        with self._lock:
            access = self.access()
            if access.headers == refused.headers:
                try:
                    if not self._session.invalidate():
                        return None
                except Exception as error:
                    raise login_failure(error) from error
                access = self.access()
        return access

    def roles(self) -> str:
        """Say which roles the login has and where, to end a sentence; '' if it cannot tell."""
        auth = self._session.auth
        if not isinstance(auth, BaseIdentityPlugin):  # such as a token that stands alone
            return ""
        try:
            access = auth.get_access(self._session)
        except Exception:  # Keystone is away now, or answers anything
            return ""
        names = ", ".join(sorted(access.role_names or ())) or "none"
        return f"; this login has {names} {_scope(access)}"

    def _not_in_catalogue(self) -> str:
        place = [f"interface {self._adapter.interface}"] if self._adapter.interface else []
        if self._adapter.region_name:
            place.append(f"region {self._adapter.region_name}")
        where = f" for {' and '.join(place)}" if place else ""
        return f"keystone: the catalogue has no {self._name}{where}"


def _scope(access: AccessInfo) -> str:
    """Say where the roles of a token count."""
    if access.project_scoped:
        return f"in project {access.project_name}"
    if access.domain_scoped:
        return f"in domain {access.domain_name}, which is no project"
    return "on the system, which is no project" if access.system_scoped else "without a project"


def login_failure(error: BaseException) -> SourceFailed:
    """Return the SourceFailed for what the library raised at a login."""
    cause = _origin(error)
    failure = _known_failure(cause)
    if failure:
        is_empty = isinstance(cause, keystone.EmptyCatalog)
        advice = " A login without a project has none." if is_empty else ""
        return failure(f"keystone: {sentence_of(cause)}{advice}")
    return Faulty(f"keystone answered in an unknown shape: {sentence_of(cause)}")


def _origin(error: BaseException) -> BaseException:
    """Return the error of the library that another one wraps in a vaguer sentence, or itself."""
    link: BaseException | None = error
    while link:
        if isinstance(link, keystone.ClientException):
            error = link
        link = link.__cause__ or link.__context__
    return error


def _known_failure(error: BaseException) -> type[SourceFailed] | None:
    if isinstance(error, keystone.HttpError):
        return _status_failure(error)
    for classes, failure in FAILURES:
        if isinstance(error, classes):
            return failure
    return connection_failure(error)


def _status_failure(error: keystone.HttpError) -> type[SourceFailed]:
    status = error.http_status
    if status == 404:
        # Keystone says in its own words that a credential is not there.
        return Refused if "error" in (json_of(error.response) or ()) else Misconfigured
    failure = STATUS_FAILURES.get(status)
    if failure:
        return failure
    return Faulty if status >= 500 or status in BUSY else Misconfigured
