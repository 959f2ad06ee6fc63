"""Wrong settings of clouds.yaml and of the table: told when the source is opened, in a sentence."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rq_broker.sources import Misconfigured
from rq_broker.sources.cloud_settings import region_of
from rq_broker.sources.placement import PlacementSource

LOGIN = {"username": "u", "password": "p", "project_name": "lab", "user_domain_id": "default"}
AUTH = LOGIN | {"auth_url": "http://127.0.0.1:1/v3"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "cacert": ({"cacert": "/nowhere/ca.pem"}, "cacert /nowhere/ca.pem: No such file"),
    "cacert that is none": ({"cacert": __file__}, f"cacert {__file__}"),
    "cert": ({"cert": "/nowhere/c.pem"}, "cert /nowhere/c.pem: No such file"),
    "cert that is none": ({"cert": __file__}, f"cert {__file__} with its key"),
    "key": ({"cert": __file__, "key": "/nowhere/k"}, "key /nowhere/k: No such file"),
    "interface": ({"interface": "outside"}, "the interface outside is not one of public"),
    "auth_type": ({"auth_type": "magic"}, "magic"),
    "no user": (
        {"auth_type": "v3password", "auth": {"auth_url": "http://127.0.0.1:1"}},
        "settings: ",
    ),
    "no auth_url": ({"auth": LOGIN}, "auth_url"),
    "auth is a list": ({"auth": [1]}, "settings: "),
    "region": ({"regions": ["RegionOne"], "region_name": "RegionNine"}, "RegionNine"),
}
"""What is wrong → settings of the cloud, and a part of the sentence."""


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_named_when_the_source_is_opened(
    clouds: Callable[..., None], name: str
) -> None:
    """Nothing is sent, and no snapshot is needed to find it."""
    settings, words = WRONG[name]
    clouds(**{"auth": AUTH} | settings)
    with pytest.raises(Misconfigured, match="OpenStack's settings") as failed:
        PlacementSource(cloud="lab", region=settings.get("region_name"))
    assert words in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "text", [None, "", "clouds: [", "clouds: {lab: }", "clouds: 3", "{other: 1}"]
)
def test_a_file_that_is_missing_or_broken_is_a_misconfiguration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Whatever is in clouds.yaml, or that it is not there, gives a sentence."""
    path = tmp_path / "clouds.yaml"
    if text is not None:
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    with pytest.raises(Misconfigured, match="OpenStack's settings"):
        region_of("lab", None)


@pytest.mark.parametrize("url", ["htp://x/v3", "127.0.0.1/v3", "http://", "http://[::1/v3"])
def test_an_auth_url_that_is_none_is_a_misconfiguration(
    clouds: Callable[..., None], url: str
) -> None:
    """A URL that leads nowhere is told apart from a Keystone that is away."""
    clouds(auth=AUTH | {"auth_url": url})
    with pytest.raises(Misconfigured, match="OpenStack's settings"):
        PlacementSource(cloud="lab")


async def test_a_certificate_that_goes_missing_is_a_misconfiguration(
    clouds: Callable[..., None], tmp_path: Path
) -> None:
    """A file that is gone after the start fails each snapshot in the same word."""
    authorities = tempfile.mkdtemp(dir=tmp_path)
    clouds(auth=AUTH | {"auth_url": "https://127.0.0.1:1/v3"}, cacert=authorities)
    source = PlacementSource(cloud="lab", nova=False)
    shutil.rmtree(authorities)
    with pytest.raises(Misconfigured, match="certificate"):
        await source.snapshot()
    await source.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("probe", "VCPU"),
        ("probe", []),
        ("probe", [1]),
        ("nova", 1),
        ("connections", 0),
        ("connections", "8"),
        ("timeout", 0),
        ("timeout", "10"),
        ("deadline", True),
        ("deadline", float("inf")),
    ],
)
def test_a_wrong_value_of_the_table_is_named(
    clouds: Callable[..., None], key: str, value: Any
) -> None:
    """Values that would fail later, or never end, are refused with their key."""
    clouds(auth=AUTH)
    with pytest.raises(Misconfigured, match=key):
        PlacementSource(cloud="lab", **json.loads(json.dumps({key: value})))
