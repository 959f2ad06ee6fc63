"""Leaves out of a host what the broker cannot name: a label or a resource whose name is too long.

Services allow longer names than the broker: a label of Kubernetes may have 381 bytes, a resource
class of Placement 255. Without the label or the resource the host is as good as before for all who
do not ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from rq_broker.domain.capacity import RESOURCE_NAME, Host
from rq_broker.domain.validation import LABEL, Text

_NAMED = 3
"""Names of a host that a sentence shows before it counts the others."""
_SHOWN = 60
"""Characters of a name in a sentence."""


def trimmed(hosts: Iterable[Host]) -> tuple[tuple[Host, ...], dict[str, str]]:
    """Return hosts without the names that are too long; and host → a text about these."""
    kept, left_out = [], {}
    for host in hosts:
        usable, text = _trimmed(host)
        kept.append(usable)
        if text:
            left_out[host.name] = text
    return tuple(kept), left_out


def _trimmed(host: Host) -> tuple[Host, str]:
    labels = _too_long(host.aggregates | host.traits, LABEL)
    resources = _too_long(
        host.capacity.keys() | host.used.keys() | host.max_unit.keys(), RESOURCE_NAME
    )
    if not labels and not resources:
        return host, ""

    def without(amounts: Mapping[str, int]) -> dict[str, int]:
        return {name: amount for name, amount in amounts.items() if name not in resources}

    kept = replace(
        host,
        aggregates=host.aggregates - labels,
        traits=host.traits - labels,
        capacity=without(host.capacity),
        used=without(host.used),
        max_unit=without(host.max_unit),
        min_unit=without(host.min_unit),
        step_size=without(host.step_size),
        devices={name: sizes for name, sizes in host.devices.items() if name not in resources},
        device_used={name: n for name, n in host.device_used.items() if name not in resources},
    )
    texts = [_text("label", name, LABEL) for name in sorted(labels)]
    texts += [_text("resource", name, RESOURCE_NAME) for name in sorted(resources)]
    more = f"; {len(texts) - _NAMED} more likewise" if len(texts) > _NAMED else ""
    return kept, "; ".join(texts[:_NAMED]) + more


def _too_long(names: Iterable[str], rule: Text) -> frozenset[str]:
    return frozenset(name for name in names if len(name.encode(errors="replace")) > rule.limit)


def _text(noun: str, name: str, rule: Text) -> str:
    return f"{noun} {name[:_SHOWN]}… is left out: it is longer than {rule.limit} bytes"
