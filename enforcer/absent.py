"""Which devices that the configuration names are not there, and what does nothing without them.

In: the policy, and the devices of this network namespace or those that are missing. Out: words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from enforcer import log
from enforcer.policy.model import Policy

_REMEDY = "see: ip link"
# Of the interfaces of a machine, so many are named.
_NAMED = 5


def missing_devices(policy: Policy, devices: Collection[str]) -> tuple[str, ...]:
    """Uplinks first, then the devices of links, each once."""
    needed = [*policy.gateway.uplinks, *(link.device for link in policy.links)]
    return tuple(name for name in dict.fromkeys(needed) if name not in devices)


def places(policy: Policy, missing: Collection[str]) -> list[str]:
    """Where the configuration names them, as in `gateway.uplinks: wan9`."""
    found = [f"gateway.uplinks: {name}" for name in policy.gateway.uplinks if name in missing]
    return found + [
        f"links.{link.name}.device: {link.device}"
        for link in policy.links
        if link.device in missing
    ]


def log_missing(policy: Policy, missing: Collection[str], done: str) -> None:
    for place in places(policy, missing):
        log.warning("device_missing", place=place, done=done)


def warned(policy: Policy, missing: Collection[str]) -> str | None:
    """A line for each, for whoever loads or declares."""
    lines = [
        f"uplink {name} is not there: nothing that comes in by it is guarded; {_REMEDY}"
        for name in policy.gateway.uplinks
        if name in missing
    ]
    lines += [
        f"link {link.name}: {link.device} is not there: nothing is reserved on it; {_REMEDY}"
        for link in policy.links
        if link.device in missing
    ]
    return "\n".join(lines) or None


def unguarded(policy: Policy, devices: Collection[str], windows: Collection[str]) -> str | None:
    """Which of `windows` guard nothing, for no uplink is there: `fact; remedy`, or None."""
    guards = [w.id for w in policy.windows if w.guard and w.id in windows]
    if not guards or not set(devices).isdisjoint(policy.gateway.uplinks):
        return None
    names = ", ".join(policy.gateway.uplinks)
    return (
        f"no uplink is there ({names}), so guard holds back nothing: {', '.join(guards)}; {_REMEDY}"
    )


def elsewhere(policy: Policy, devices: Sequence[str]) -> str | None:
    """That no uplink is among `devices`, the likeliest first, whatever is on: a name is wrong, or
    the files are another machine's. None where one is, or nothing is known.
    """
    there = [name for name in devices if name != "lo"]
    uplinks = policy.gateway.uplinks
    if not devices or not set(there).isdisjoint(uplinks):
        return None
    names = ", ".join(uplinks)
    fact = f"{names} is not" if len(uplinks) == 1 else f"none of {names} is"
    shown = ", ".join(there[:_NAMED]) or "none"
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    return (
        f"gateway.uplinks: {fact} on this machine; interfaces that are: {shown}{more}; correct "
        "the name, unless the files are for another machine"
    )
