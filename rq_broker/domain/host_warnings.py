"""What is odd about a host that was published."""

from __future__ import annotations

from rq_broker.domain.capacity import Host


def warning_of(host: Host) -> str:
    """Return what is odd about a host that was published; '' for nothing."""
    return "; ".join(filter(None, (_unit_warning(host), *_shortages(host))))


def _shortages(host: Host) -> list[str]:
    """List the resources of which more is used, or held, than the host has."""
    return [
        f"{name}.{resource} {amount} is above capacity.{resource} {host.capacity.get(resource, 0)}"
        for name, amounts in (("used", host.used), ("held", host.held))
        for resource, amount in amounts.items()
        if amount > host.capacity.get(resource, 0)
    ]


def _unit_warning(host: Host) -> str:
    """Return what units of a host say in vain, as that nobody can have a resource; '' for none."""
    for resource, amount in host.capacity.items():
        if host.step_size.get(resource) == 0:
            return f"step_size.{resource} is 0, which counts as 1"
        least = host.min_unit.get(resource, 0)
        most = host.max_unit.get(resource)
        nothing = f"no instance can have any {resource} of this host"
        if amount and most == 0:
            return f"max_unit.{resource} is 0: {nothing}"
        if most is not None and least > most:
            return f"min_unit.{resource} {least} is above max_unit.{resource} {most}: {nothing}"
        if amount and least > amount:
            return f"min_unit.{resource} {least} is above capacity.{resource} {amount}: {nothing}"
    return ""
