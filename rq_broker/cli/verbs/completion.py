"""`rq-broker completion`: what makes a shell complete by TAB."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete by TAB.

    \b
    bash: rq-broker completion bash > ~/.local/share/bash-completion/completions/rq-broker
    zsh:  rq-broker completion zsh > "${fpath[1]}/_rq-broker"
    fish: rq-broker completion fish > ~/.config/fish/completions/rq-broker.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    assert found
    completer = found(ctx.find_root().command, {}, "rq-broker", "_RQ_BROKER_COMPLETE")
    # Bash's own `source` would start a bash to ask for its version.
    click.echo(ShellComplete.source(completer))
