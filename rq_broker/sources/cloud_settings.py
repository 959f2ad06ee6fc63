"""The operator's own login to OpenStack: clouds.yaml or OS_* variables.

openstacksdk's configuration loader is the one that the OpenStack command line uses, so every login
that works there works here: password, application credential, token, and the rest.
"""

from __future__ import annotations

import logging
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion

from rq_broker.sources.failures import Misconfigured

INTERFACES = ("public", "internal", "admin")
"""Interfaces that a catalogue has."""

# While Keystone is away, its library warns at every login; the source's own failure tells it once.
logging.getLogger("keystoneauth.identity").setLevel(logging.ERROR)


def region_of(cloud: str | None, region: str | None) -> CloudRegion:
    """Return the cloud that `openstack --os-cloud … --os-region-name …` would use.

    Nothing is sent. None stands for an option that is left out.

    Raises:
        Misconfigured: There is no such cloud or region, its login is incomplete, or a file that it
            names cannot be used.
    """
    options: dict[str, Any] = {}
    if cloud:
        options["cloud"] = cloud
    if region:
        options["region_name"] = region
    try:
        with warnings.catch_warnings():
            # openstacksdk warns that InfluxDB is not installed, which only its metrics need, and of
            # a cacert beside `verify: false`.
            warnings.simplefilter("ignore")
            cloud_region = OpenStackConfig().get_one(**options)
            cloud_region.get_session()
            _check_url(cloud_region.get_auth_args().get("auth_url"))
            check_files(cloud_region)
    except Misconfigured:
        raise
    except Exception as error:  # clouds.yaml may have any shape, and the loader checks little
        text = " ".join(str(error).split()) or type(error).__name__
        raise Misconfigured(f"OpenStack's settings: {text}") from error
    interface = cloud_region.get_interface()
    names = [interface] if isinstance(interface, str) else interface or ()
    if any(name.removesuffix("URL") not in INTERFACES for name in names):
        raise Misconfigured(
            f"OpenStack's settings: the interface {interface} is not one of {', '.join(INTERFACES)}"
        )
    return cloud_region


def check_files(region: CloudRegion) -> None:
    """Load the certificates that the cloud's `cacert`, `cert` and `key` name.

    Raises:
        Misconfigured: One cannot be read, or is no certificate; the sentence names it.
    """
    verify, cert = region.get_requests_verify_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(verify, str):
        part = "capath" if Path(verify).is_dir() else "cafile"
        _load(f"cacert {verify}", lambda: context.load_verify_locations(**{part: verify}))
    if cert:
        chain, key = (cert, None) if isinstance(cert, str) else cert
        _load(f"cert {chain}", Path(chain).read_bytes)
        if key:
            _load(f"key {key}", Path(key).read_bytes)
        # An empty password keeps OpenSSL from asking the terminal for one.
        _load(f"cert {chain} with its key", lambda: context.load_cert_chain(chain, key, lambda: ""))


def _check_url(url: str | None) -> None:
    """Raise Misconfigured if the login's URL leads nowhere; some logins have none."""
    parts = urlsplit(url or "http://none")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(f"OpenStack's settings: the auth_url {url} is no URL")


def _load(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(f"OpenStack's settings: {name}: {error.strerror or error}") from error
