"""Leaves out of a host what cannot be kept, so that the rest of the host stays in service.

A label or a resource may have too long a name: services allow longer ones than the broker, a label
of Kubernetes may have 381 bytes, a resource class of Placement 255. Devices may be unknown to an
older notifier. Without them the host is as good as before for all who do not ask for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from rq_broker.domain.capacity import RESOURCE_NAME, Host
from rq_broker.domain.validation import LABEL, Text

_Value = TypeVar("_Value")
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
    host = replace(host, aggregates=host.aggregates - labels, traits=host.traits - labels)
    texts = [_text("label", name, LABEL) for name in sorted(labels)]
    texts += [_text("resource", name, RESOURCE_NAME) for name in sorted(resources)]
    more = f"; {len(texts) - _NAMED} more likewise" if len(texts) > _NAMED else ""
    return _without(host, resources), "; ".join(texts[:_NAMED]) + more


def without_devices(hosts: Mapping[str, Host], why: str) -> tuple[dict[str, Host], dict[str, str]]:
    """Return hosts by name without the resources that are devices; and host → a text about these.

    `why`: why they are left out, in a sentence.
    """
    kept = {name: _without(host, host.devices.keys()) for name, host in hosts.items()}
    left_out = {
        name: f"{', '.join(sorted(host.devices))} left out: {why}"
        for name, host in hosts.items()
        if host.devices
    }
    return kept, left_out


def _without(host: Host, resources: Collection[str]) -> Host:
    if not resources:
        return host

    def rest(values: Mapping[str, _Value]) -> dict[str, _Value]:
        return {name: value for name, value in values.items() if name not in resources}

    return replace(
        host,
        capacity=rest(host.capacity),
        used=rest(host.used),
        max_unit=rest(host.max_unit),
        min_unit=rest(host.min_unit),
        step_size=rest(host.step_size),
        devices=rest(host.devices),
        device_used=rest(host.device_used),
    )


def _too_long(names: Iterable[str], rule: Text) -> frozenset[str]:
    return frozenset(name for name in names if len(name.encode(errors="replace")) > rule.limit)


def _text(noun: str, name: str, rule: Text) -> str:
    return f"{noun} {name[:_SHOWN]}… is left out: it is longer than {rule.limit} bytes"
