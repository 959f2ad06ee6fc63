"""The commands by name, and where each one is: it is imported only when it is called.

`rq-broker --help` and a completion read this table alone. A command is a click command in a module
of its own folder; it is made known by one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from rq_broker import __version__
from rq_broker.cli.log_lines import set_up_logging

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """Where a command is, and its line in the help."""

    place: str
    """Module below rq_broker.cli, and the command's name there."""
    help: str
    """As the first sentence of the command's docstring."""


SECTIONS: Mapping[str, Mapping[str, Entry]] = {
    "Jobs": {
        "run": Entry(
            "verbs.run:run", "Wait for capacity, run a command while it is held, and give it back."
        ),
        "submit": Entry("verbs.jobs:submit", "Submit a job, and print its name."),
        "list": Entry(
            "verbs.listing:list_jobs",
            "List the jobs of a type in the order of the queue; those that have ended come last.",
        ),
        "show": Entry("verbs.jobs:show", "Show jobs with everything that is known of them."),
        "why": Entry(
            "verbs.explaining:why",
            "Say why a job waits, for whom, and when it starts.",
        ),
        "watch": Entry(
            "verbs.watch:watch",
            "Print each change of a job, of a type's line, or without TYPE of all lines.",
        ),
        "events": Entry(
            "verbs.events:events",
            "Print what happens to the jobs of a type, to one job, or without a type to all jobs.",
        ),
        "move": Entry(
            "verbs.jobs:move", "Move a waiting job within the queue, or several to one end of it."
        ),
        "take": Entry(
            "verbs.jobs:take",
            "Take what granted jobs are offered; print their hosts, with commas between them.",
        ),
        "done": Entry("verbs.jobs:done", "End running jobs, and give back what they hold."),
        "withdraw": Entry("verbs.jobs:withdraw", "Remove jobs, and release what they hold."),
    },
    "Types and hosts": {
        "top": Entry("verbs.top:top", "Show a type's queue, hosts and callbacks, live."),
        "types": Entry("verbs.types:types", "Count the jobs of every type."),
        "report": Entry(
            "verbs.report:report",
            "Tell how many jobs were granted, how long they waited, and what they had.",
        ),
        "type": Entry("verbs.types:type_", "Show one type, or forget an empty one."),
        "policy": Entry("verbs.types:policy", "Show the policy of a type, or change fields of it."),
        "pause": Entry(
            "verbs.types:pause",
            "Stop the grants of a type.",
        ),
        "resume": Entry("verbs.types:resume", "Let a paused type grant again."),
        "hosts": Entry("verbs.hosts:hosts", "List the hosts of a type, and what is free."),
        "host": Entry("verbs.hosts:host", "Show, publish, drain or delete one host."),
    },
    "Callbacks": {
        "attempts": Entry("verbs.jobs:attempts", "List the attempts to call a job back."),
        "destinations": Entry(
            "verbs.callbacks:destinations",
            "List the receivers of callbacks, or mend one.",
        ),
        "keys": Entry(
            "verbs.callbacks:keys",
            "List or change the keys that callbacks are signed with.",
        ),
    },
    "Processes": {
        "dev": Entry("server_commands:dev", "Run API, notifier and a store in one process."),
        "api": Entry("server_commands:api", "Serve the HTTP API."),
        "notifier": Entry(
            "server_commands:notifier", "Grant capacity, send callbacks, expire jobs."
        ),
    },
    "Operating": {
        "audit": Entry("server_commands:audit", "Compare every index with its jobs."),
        "log": Entry("server_commands:log", "Print who changed what, the oldest change first."),
        "token": Entry(
            "server_commands:token",
            "Make, list, rotate and revoke the tokens that `api --tokens` asks for.",
        ),
        "import": Entry(
            "server_commands:import_",
            "Put the waiting jobs of the original service's SQLite database in the queue.",
        ),
        "check-source": Entry(
            "server_commands:check_source",
            "Read each source of a file (sources.toml) as a notifier would, and tell what it sees.",
        ),
        "encrypt-keys": Entry(
            "server_commands:encrypt_keys", "Encrypt the signing keys that Redis has."
        ),
        "acl": Entry(
            "server_commands:acl", "Print the line that gives a Redis user the rights of a role."
        ),
        "completion": Entry(
            "verbs.completion:completion", "Print what makes a shell complete by TAB."
        ),
        "grafana": Entry("grafana:grafana", "Print a dashboard for Grafana."),
        "alerts": Entry("grafana:alerts", "Print alert rules for Prometheus."),
        "scripts": Entry("server_commands:scripts", "Print the Lua scripts for other languages."),
        "deploy": Entry("deploy:deploy", "Print files that run the broker for real."),
    },
}
"""Heading in the help → command → where it is."""

ENTRIES: Mapping[str, Entry] = {
    name: entry for section in SECTIONS.values() for name, entry in section.items()
}


class LazyGroup(click.Group):
    """The commands of ENTRIES, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names of all commands."""
        return list(ENTRIES)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click passes it
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(import_module(f"rq_broker.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; a refusal names the nearest ones."""
        if args[0] in ENTRIES or ctx.resilient_parsing or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        meant = [f"'{name}'" for name in get_close_matches(args[0], ENTRIES)]
        hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
        raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click passes it
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands under their headings, without importing one."""
        limit = formatter.width - 6 - max(map(len, ENTRIES))
        for heading, section in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name, click.Command(None, help=entry.help).get_short_help_str(limit))
                     for name, entry in section.items()]
                )  # fmt: skip

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin like this, without importing one."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - not for --help

        names = [
            CompletionItem(name, help=entry.help)
            for name, entry in ENTRIES.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup)
@click.version_option(__version__)
def main() -> None:
    """Queue requests for scarce capacity, hold it when it fits, and call the client back."""
    set_up_logging()
