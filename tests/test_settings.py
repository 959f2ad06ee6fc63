"""Settings: whom the API serves, and where callbacks may go."""

from __future__ import annotations

import pytest

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.settings import Settings

LOOPBACKS = ("127.0.0.0/8", "::1/128")


def _allows(settings: Settings, url: str, *, own_api: bool = True) -> bool:
    try:
        settings.egress(own_api=own_api).check_url(url)
    except CallbackForbidden:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_may_be_served(host: str) -> None:
    """Without access control the API serves its own machine."""
    Settings(host=host).check_bind()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "192.168.1.2", "example.org", "127.0.0.1.example.org"]
)
def test_strangers_are_served_only_on_request(host: str) -> None:
    """Any other address is refused, with a sentence that says how to go on; --insecure opens it."""
    with pytest.raises(Invalid, match="--insecure"):
        Settings(host=host).check_bind()
    Settings(host=host, insecure=True).check_bind()


def test_by_default_loopback_and_public_addresses_are_closed_to_callbacks() -> None:
    """Nothing needs to be said for callbacks to stay in the private cloud."""
    settings = Settings()
    assert _allows(settings, "http://10.1.2.3/hook")
    assert not _allows(settings, "http://127.0.0.1:9000/hook")
    assert not _allows(settings, "http://169.254.169.254/latest")
    assert not _allows(settings, "http://8.8.8.8/hook")


def test_lists_and_ports_bind() -> None:
    """What is allowed is open, what is denied closed, and other ports than those named are too."""
    settings = Settings(
        callback_allow=("8.8.8.0/24",), callback_deny=("10.0.0.0/8",), callback_ports=(443,)
    )
    assert _allows(settings, "https://8.8.8.8/hook")
    assert not _allows(settings, "http://8.8.8.8/hook")
    assert not _allows(settings, "https://10.1.2.3/hook")


@pytest.mark.parametrize(
    "redis",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost:6379/0",
        "redis://user:word@127.0.0.1:6379/0",
        "redis://127.0.0.1",
        "redis://localhost",
    ],
)
def test_our_redis_is_closed_to_callbacks_whatever_is_allowed(redis: str) -> None:
    """A callback that speaks to our own Redis is refused even where loopback is open."""
    settings = Settings(redis=redis, callback_allow=LOOPBACKS)
    assert _allows(settings, "http://127.0.0.1:9000/hook")
    assert not _allows(settings, "http://127.0.0.1:6379/hook")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_our_api_is_closed_to_callbacks_but_for_its_own_inbox(host: str) -> None:
    """The API is no receiver, except in dev, where the inbox is in the same process."""
    settings = Settings(host=host, port=8080, callback_allow=LOOPBACKS)
    assert not _allows(settings, "http://127.0.0.1:8080/hook")
    assert _allows(settings, "http://127.0.0.1:8080/inbox/abc", own_api=False)


def test_an_api_that_serves_every_address_is_closed_on_every_one() -> None:
    """Bound to 0.0.0.0 it listens on loopback too."""
    settings = Settings(host="0.0.0.0", port=8080, callback_allow=LOOPBACKS)
    assert not _allows(settings, "http://127.0.0.1:8080/hook")


def test_a_list_that_cannot_be_read_is_refused() -> None:
    """A slip in a list is said at start, by the option's name."""
    with pytest.raises(Invalid, match="callback-allow"):
        Settings(callback_allow=("10.0.0.0/33",)).egress()
