"""Makes the functions that few runs of a script need only in the runs that need one.

Lua makes each function of a script anew in every run, which was a fifth of what a submit costs
Redis; without those of terms, steps and refusals it costs 3 % less. The line `--- @seldom name …`
of an include names functions that few runs call.
"""

from __future__ import annotations

import re

from rq_broker.store.reachable import functions_used, parts

_NAMED = re.compile(r"^--- @seldom (.+)\n", re.MULTILINE)


def deferred(included: str, body: str) -> tuple[str, str]:
    """Move functions that are called seldom into one, `seldom`, which makes them at its first call.

    With them go those that nothing else calls. They share the locals of the script as before.

    Args:
        included: The includes of a script.
        body: What stands behind them.

    Returns:
        Both, with `seldom().name(` where the functions are called.
    """
    seldom = {name for names in _NAMED.findall(included) for name in names.split()}
    if not seldom:
        return included, body
    texts = parts(_NAMED.sub("", included))
    often = functions_used([part for part in texts if part[0] not in seldom], body)
    moved = [(name, text) for name, text in texts if name and name not in often]
    names = "|".join(name for name, _ in moved)
    call = re.compile(rf"(?<!function )(?<![\w.'])({names})(?=\()")

    def indirect(text: str) -> str:
        return call.sub(r"seldom().\1", text)

    kept = "".join(text for name, text in texts if not name or name in often)
    table = ", ".join(f"{name} = {name}" for name, _ in moved)
    made = "".join(text for _, text in moved)
    return (
        f"local seldom, made_seldom\n{indirect(kept)}\n"
        f"function seldom()\n  if not made_seldom then\n{made}\n"
        f"    made_seldom = {{ {table} }}\n  end\n  return made_seldom\nend\n",
        indirect(body),
    )
