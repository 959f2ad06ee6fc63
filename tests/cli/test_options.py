"""Options and environment variables: how they become Settings, and how mistakes are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import pytest
import uvicorn
from click.testing import CliRunner

from rq_broker.cli import main
from rq_broker.cli.options import OPTIONS, with_settings
from rq_broker.settings import Settings
from tests.cli.running import invoke, must_not_serve


@pytest.fixture
def settings_of() -> Callable[..., Settings]:
    """Return the Settings that a command with every option is called with."""
    calls: list[Settings] = []

    @click.command()
    @with_settings(*OPTIONS)
    def command(settings: Settings) -> None:
        calls.append(settings)

    def run(*args: str, **variables: str) -> Settings:
        result = CliRunner().invoke(command, args, env=variables)
        assert result.exit_code == 0, result.output
        return calls.pop()

    return run


def test_without_options_the_defaults_stay(settings_of: Callable[..., Settings]) -> None:
    """Without options and variables the settings are those of Settings."""
    assert settings_of() == Settings()


VALUES = {
    "redis": ("redis://r:1/2", "redis://r:1/2"),
    "host": ("::1", "::1"),
    "port": ("9", 9),
    "workers": ("3", 3),
    "min-replicas-acked": ("2", 2),
    "keep-alive": ("5", 5.0),
    "grace": ("0", 0.0),
    "max-connections": ("9", 9),
    "max-connections-per-address": ("4", 4),
    "allowed-hosts": ("broker.lab, *.lab", ("broker.lab", "*.lab")),
    "cors-origins": ("https://board.lab", ("https://board.lab",)),
    "forwarded-allow-ips": ("10.0.0.1,10.1.0.0/16", ("10.0.0.1", "10.1.0.0/16")),
    "root-path": ("/rq", "/rq"),
    "max-types": ("9", 9),
    "rate-limit": ("9.5", 9.5),
    "owner-rate-limit": ("9", 9.0),
    "admin-rate-limit": ("9", 9.0),
    "wait-limit": ("9", 9),
    "session-idle": ("9", 9.0),
    "session-lifetime": ("99.5", 99.5),
    "keystone-cloud": ("lab", "lab"),
    "keystone-owner": ("name", "name"),
    "keystone-domain": ("d1", "d1"),
    "keystone-roles": ("admin=admin, member=client", ("admin=admin", "member=client")),
    "jwt-issuer": ("https://i.lab", "https://i.lab"),
    "jwt-audience": ("rq", "rq"),
    "jwt-keys": ("keys.json", "keys.json"),
    "jwt-owner": ("tenant", "tenant"),
    "jwt-role": ("groups", "groups"),
    "oidc-client": ("rq", "rq"),
    "oidc-secret-file": ("s.txt", "s.txt"),
    "oidc-scope": ("openid groups", "openid groups"),
    "jwt-roles": ("ops=operator", ("ops=operator",)),
    "callback-base": ("http://b/", "http://b/"),
    "callback-allow": ("10.0.0.0/8, hooks.lab", ("10.0.0.0/8", "hooks.lab")),
    "callback-deny": ("10.1.0.0/16", ("10.1.0.0/16",)),
    "callback-ports": ("80,443", (80, 443)),
    "timeout": ("2.5", 2.5),
    "concurrency": ("7", 7),
    "source": ("sources.toml", "sources.toml"),
    "metrics-port": ("9464", 9464),
    "metrics-file": ("audit.prom", "audit.prom"),
    "metrics-host": ("0.0.0.0", "0.0.0.0"),
    "log-level": ("debug", "debug"),
    "log-format": ("json", "json"),
    "sample": ("9", 9),
    "dry-run": ("1", True),
    "again": ("1", True),
    "follow": ("1", True),
    "since": ("2h", 7200.0),
    "repair": ("1", True),
    "resume": ("audit.json", "audit.json"),
    "role": ("notifier", "notifier"),
    "user": ("lab", "lab"),
}
"""Option → a text for it, and the value that it becomes."""


@pytest.mark.parametrize("option", VALUES)
def test_every_option_is_a_variable_too(settings_of: Callable[..., Settings], option: str) -> None:
    """--x and RQ_BROKER_X set the same field."""
    text, value = VALUES[option]
    field = option.replace("-", "_")
    by_option = settings_of(f"--{option}", *([] if value is True else [text]))
    by_variable = settings_of(**{f"RQ_BROKER_{field.upper()}": text})
    assert getattr(by_option, field) == getattr(by_variable, field) == value
    assert by_option == by_variable != Settings()


def test_an_option_wins_over_its_variable(settings_of: Callable[..., Settings]) -> None:
    """Where both are given, the variable is ignored."""
    assert settings_of("--port", "9", RQ_BROKER_PORT="10").port == 9


@pytest.mark.parametrize("link", ["tcp://10.96.0.12:8080", "udp://[fd00::1]:53", "TCP://a:1 "])
@pytest.mark.parametrize("option", VALUES)
def test_what_kubernetes_sets_for_a_service_is_ignored(
    settings_of: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    option: str,
    link: str,
) -> None:
    """A variable that holds the address of a Service changes nothing, and is named in the log."""
    variable = f"RQ_BROKER_{option.upper().replace('-', '_')}"
    assert settings_of(**{variable: link}) == Settings()
    (line,) = caplog.messages
    assert f"{variable}={link} is ignored" in line


def test_all_variables_of_a_service_named_rq_broker_are_harmless(
    settings_of: Callable[..., Settings],
) -> None:
    """With what Kubernetes sets beside such a Service the settings are those without."""
    port = "RQ_BROKER_PORT_8080_TCP"
    service = {
        "RQ_BROKER_SERVICE_HOST": "10.96.0.12",
        "RQ_BROKER_SERVICE_PORT": "8080",
        "RQ_BROKER_SERVICE_PORT_HTTP": "8080",
        "RQ_BROKER_PORT": "tcp://10.96.0.12:8080",
        port: "tcp://10.96.0.12:8080",
        f"{port}_PROTO": "tcp",
        f"{port}_PORT": "8080",
        f"{port}_ADDR": "10.96.0.12",
    }
    assert settings_of(**service) == Settings()


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("api", "RQ_BROKER_PORT", "tcp"),
        ("api", "RQ_BROKER_REDIS", "nonsense"),
        ("api", "RQ_BROKER_INSECURE", "perhaps"),
        ("api", "RQ_BROKER_MAX_CONNECTIONS", "100000000"),
        ("notifier", "RQ_BROKER_CALLBACK_PORTS", "80,http"),
        ("notifier", "RQ_BROKER_CALLBACK_ALLOW", "10.0.0.0/33"),
        ("notifier", "RQ_BROKER_TIMEOUT", "-1"),
    ],
)
def test_an_error_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, command: str, variable: str, value: str
) -> None:
    """A bad value that came from a variable ends in a sentence that names the variable."""
    monkeypatch.setattr(uvicorn, "run", must_not_serve)
    result = invoke(command, **{"RQ_BROKER_REDIS": "redis://127.0.0.1:1/0", variable: value})
    assert result.exit_code in (1, 2)
    assert variable in result.output


def test_no_option_is_untested() -> None:
    """Every option stands in the table above, or has a test of its own."""
    tabled = {option.replace("-", "_") for option in VALUES}
    tested = {"types", "insecure", "tokens", "open_types", "as_json", "no_dashboard", "read_only"}
    tested |= {"redis_file", "secret_key_file"}
    assert tabled | tested == set(OPTIONS)


def test_type_may_be_repeated(settings_of: Callable[..., Settings]) -> None:
    """A notifier may serve several types, with any names."""
    assert settings_of("--type", "vm", "--type", "a b").types == ("vm", "a b")
    assert settings_of(RQ_BROKER_TYPE="vm kube").types == ("vm", "kube")


@pytest.mark.parametrize("flag", ["insecure", "tokens", "open-types", "no-dashboard", "read-only"])
def test_a_flag_takes_no_value(settings_of: Callable[..., Settings], flag: str) -> None:
    """It takes no value as an option, and one as a variable."""
    field = flag.replace("-", "_")
    variable = f"RQ_BROKER_{field.upper()}"
    assert getattr(settings_of(f"--{flag}"), field)
    assert getattr(settings_of(**{variable: "1"}), field)
    assert not getattr(settings_of(**{variable: "0"}), field)


@pytest.mark.parametrize(
    "args",
    [
        ("api", "--port", "0"),
        ("api", "--port", "65536"),
        ("api", "--workers", "0"),
        ("api", "--redis", "nonsense"),
        ("api", "--keep-alive", "0"),
        ("api", "--max-connections", "100000000"),
        ("notifier", "--timeout", "0"),
        ("notifier", "--concurrency", "0"),
        ("notifier", "--callback-ports", "80,http"),
        ("notifier", "--callback-allow", "10.0.0.0/33"),
        ("notifier", "--redis", "redis://127.0.0.1:port/0"),
        ("audit", "--redis", "nonsense"),
        ("scripts", "no_verb"),
        ("api", "--root-path", "rq/"),
        ("api", "--cors-origins", "board.lab"),
        ("api", "--no-such-option"),
        ("notifier", "--source", "no-such.toml"),
        ("dev", "--source", "no-such.toml"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_ends_in_a_sentence(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that is not accepted ends in an error message and an exit code, not a traceback."""
    monkeypatch.setattr(uvicorn, "run", must_not_serve)
    result = invoke(*args, RQ_BROKER_REDIS="redis://127.0.0.1:1/0")
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert "Error: " in result.output


def test_help_shows_every_default() -> None:
    """The help of a command names each option's default, in words where it has no value."""
    shown = " ".join(invoke("notifier", "--help").output.split())
    for default in (
        "redis://127.0.0.1:6379/0",
        "10.0",
        "512",
        "(every type)",
        "(private networks only)",
        "(poll no source)",
    ):
        assert f"default: {default}" in shown
    assert shown.count("default: ") == shown.count("env var: ")


@pytest.mark.parametrize("command", ["notifier", "audit", "acl"])
@pytest.mark.parametrize("name", ["a/b", "", "{x}"])
def test_a_type_that_cannot_exist_is_refused(command: str, name: str) -> None:
    """A type of this name cannot be submitted to, so a process that serves it has no work ever."""
    result = invoke(command, "--type", name)
    assert result.exit_code == 1
    assert f"--type {name}" in result.output


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below this one, and its name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        assert below
        yield from leaves(below, f"{name} {word}")


def test_no_command_hides_a_default() -> None:
    """Each option of each command says what it does, and what it is without a word of the user:
    a value, or words where the value is none. Filters and flags have none to show."""
    for name, command in leaves(main, "rq-broker"):
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (name, option.opts)
                has_value = option.to_info_dict()["default"] not in (None, "", False, ())
                assert option.show_default or option.is_flag or not has_value, (name, option.opts)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--callback-ports", "abc", "--callback-ports takes ports by commas, as 80,443"),
        ("--callback-ports", "80,70000", "--callback-ports takes ports by commas, as 80,443"),
        (
            "--callback-allow",
            "127.0.0.0/33",
            "--callback-allow: '127.0.0.0/33' is neither a network nor a host name",
        ),
        (
            "--callback-deny",
            "10.0.0.1/8",
            "--callback-deny: '10.0.0.1/8' is neither a network nor a host name: it has host bits",
        ),
    ],
)
def test_a_wrong_list_is_told_in_plain_words(option: str, value: str, sentence: str) -> None:
    """The sentence has the option as it is typed, the value once, and no word of Python's."""
    result = invoke("notifier", option, value)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {sentence}")
    assert result.output.count(value) <= 1
