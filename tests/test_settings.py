"""Settings: which addresses the API may serve on, and which Redis URLs are accepted."""

from __future__ import annotations

import pytest

from rq_broker.domain.errors import Invalid
from rq_broker.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_may_be_served(host: str) -> None:
    """Without access control the API may serve its own machine."""
    Settings(host=host).check_bind()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "192.168.1.2", "example.org", "127.0.0.1.example.org"]
)
def test_other_machines_are_served_only_on_request(host: str) -> None:
    """Any other address needs access control, or --insecure: the refusal's sentence names both."""
    with pytest.raises(Invalid, match=r"--tokens.*--insecure"):
        Settings(host=host).check_bind()
    Settings(host=host, insecure=True).check_bind()
    Settings(host=host, tokens=True).check_bind()


def test_the_names_of_the_api_follow_from_where_it_serves() -> None:
    """On loopback no name but localhost is one of the API's unless named; elsewhere every name."""
    assert Settings().hosts == ()
    assert Settings(host="10.0.0.1").hosts is None
    for host in ("localhost", "10.0.0.1"):
        assert Settings(host=host, allowed_hosts=("broker.lab",)).hosts == ("broker.lab",)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1", "--redis http://127.0.0.1 must begin with one of redis, rediss, unix"),
        ("redis://h:99999", "--redis redis://h:99999 must have a port from 0 to 65535"),
        ("redis://h:port", "--redis redis://h:port must have a port from 0 to 65535"),
    ],
)
def test_a_url_that_cannot_be_a_redis_is_refused(url: str, sentence: str) -> None:
    """The sentence names the option, the URL and what is wrong with it."""
    with pytest.raises(Invalid, match=sentence):
        Settings(redis=url)
