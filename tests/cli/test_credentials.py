"""The providers of identities that options name: wrong options end the command with a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from rq_broker.cli.credentials import providers_of
from rq_broker.domain.errors import Invalid
from rq_broker.settings import Settings
from tests.cli.running import invoke

JWT = Settings(jwt_issuer="i", jwt_audience="a", jwt_keys="http://127.0.0.1:1/jwks")


def test_providers_are_those_that_settings_name(clouds: Callable[..., None]) -> None:
    """Without options there is none; JWTs and Keystone stand side by side."""
    clouds(auth_type="password", auth={"auth_url": "http://127.0.0.1:1/v3", "username": "u"})
    assert providers_of(Settings()) == []
    both = providers_of(replace(JWT, keystone_cloud="lab"))
    assert [each.name for each in both] == ["jwt", "keystone"]
    assert [each.scheme["type"] for each in both] == ["http", "apiKey"]
    assert [each.challenge for each in both] == [
        'Bearer realm="rq-broker"',
        'Keystone uri="http://127.0.0.1:1/v3"',
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--jwt-issuer", "i"], "go together"),
        (["--jwt-keys", "i"], "go together"),
        (["--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-keys", "/nowhere"], "/nowhere"),
        (["--keystone-cloud", "nowhere"], "--keystone-cloud nowhere: OpenStack's settings"),
    ],
)
def test_wrong_options_end_the_command(
    options: list[str], sentence: str, clouds: Callable[..., None]
) -> None:
    """The API does not start, and says which option is wrong and why."""
    clouds(auth={})
    result = invoke("api", *options)
    assert (result.exit_code, sentence in result.output) == (1, True), result.output


@pytest.mark.parametrize(
    ("module", "extra", "settings"),
    [("jwt", "jwt", JWT), ("keystone", "openstack", Settings(keystone_cloud="lab"))],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, settings: Settings
) -> None:
    """Where the packages of an extra are not installed, the sentence says how to install them."""
    monkeypatch.setitem(sys.modules, f"rq_broker.identity.{module}", None)  # its import fails
    with pytest.raises(Invalid, match=rf"pip install 'rq-broker\[{extra}\]'"):
        providers_of(settings)
