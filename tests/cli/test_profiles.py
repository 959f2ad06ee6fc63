"""The configuration file of the commands that speak HTTP: what it holds, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from rq_broker.cli.profiles import BadConfig, config_path, read_config

LAB = '[profiles.lab]\nserver = "https://queue.lab.example"\n'
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the configuration, readable by its owner only if nothing else is said."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "rq-broker" / "config.toml"
    path.parent.mkdir()

    def write(text: str | bytes, mode: int = 0o600) -> Path:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    return write


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is below XDG_CONFIG_HOME if that is absolute, else below ~/.config."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, folder in (("", ".config"), ("relative", ".config"), (f"{tmp_path}/x", "x")):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert config_path() == tmp_path / folder / "rq-broker" / "config.toml"
    assert read_config().profiles == {}


def test_profiles(write: Write) -> None:
    """Each profile has a server and a token or its file, which is relative to the configuration."""
    path = write(
        f'profile = "lab"\n{LAB}token_file = "lab.token"\n'
        '[profiles."my box"]\nserver = "http://127.0.0.1:9"\ntoken = "t"\n'
    )
    config = read_config()
    assert config.default == "lab"
    assert config.profile("lab").server == "https://queue.lab.example"
    assert config.profile("lab").token_file == str(path.parent / "lab.token")
    assert config.profile("my box").token == "t"
    with pytest.raises(click.UsageError, match="no profile 'lap'; it has lab, my box"):
        config.profile("lap")


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a = 1\nprofile = \n", 2, "Invalid value, at `profile`"),
        (f"{LAB}tokn = 't'\n", 3, "the key `profiles.lab.tokn` is not known"),
        (f"# first\n\n{LAB}token = 1\n", 5, "`profiles.lab.token` must be a string"),
        (f"{LAB}token = ''\n", 3, "`profiles.lab.token` must be a string that is not empty"),
        ("profiles.lab.tokn = 't'\n", 1, "the key `profiles.lab.tokn` is not known"),
        ('[profiles."my box"]\nx = 1\n', 2, "the key `profiles.my box.x` is not known"),
        ("[profiles]\nlab = 'x'\n", 2, "`profiles.lab` must be a table"),
        ("profiles = 'x'\n", 1, "`profiles` must be a table"),
        ("\nprofile = 1\n", 2, "`profile` must be a string"),
        (f"servr = 'x'\n{LAB}", 1, "the key `servr` is not known"),
        (f"profile = 'x'\n{LAB}", 1, "`profile` names 'x', which is no profile here"),
        (f"{LAB}token = 't'\ntoken_file = 'f'\n", 4, "`token` and `token_file`: give one"),
        (f"{LAB}token_file = '~nobody-has-this-name/x'\n", 3, "a user that there is not"),
        (f'{LAB}token_file = "a\\u0000b"\n', 3, "must not contain control characters"),
        ("[[profiles.lab]]\nserver = 'x'\n", 1, "`profiles.lab` must be a table"),
    ],
)
def test_what_is_wrong_is_named(write: Write, text: str, line: int, sentence: str) -> None:
    """A refusal names the file, the line and the key."""
    path = write(text)
    with pytest.raises(BadConfig) as refusal:
        read_config()
    assert refusal.value.exit_code == 2
    assert refusal.value.message.startswith(f"{path}, line {line}: ")
    assert sentence in refusal.value.message


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "1" * 5000])
def test_what_no_configuration_needs(write: Write, text: str) -> None:
    """Numbers and lists of any length are refused as other mistakes are."""
    write(text)
    with pytest.raises(BadConfig, match="too long, or lists are nested too deep"):
        read_config()


def test_a_file_that_is_no_text(write: Write) -> None:
    """Bytes that are not UTF-8, and a file that cannot be read, are refused by name."""
    path = write(b"\xff")
    with pytest.raises(BadConfig, match="it is not UTF-8"):
        read_config()
    path.unlink()
    path.mkdir()
    with pytest.raises(BadConfig, match="directory"):
        read_config()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_can_read_is_refused(write: Write, mode: int) -> None:
    """With a token in it the file must be its owner's alone; without one anybody may read it."""
    write(f"{LAB}token = 'secret'\n", mode)
    with pytest.raises(BadConfig, match="line 3: profile 'lab' holds a") as told:
        read_config()
    assert "chmod 600" in told.value.message
    assert "secret" not in told.value.message
    write(LAB, mode)
    assert read_config().profile("lab").token is None
