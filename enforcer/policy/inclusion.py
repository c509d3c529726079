"""Lists of services by what they let through: whether one includes all of another.

In: lists as registrations have them, where none at all means any service. Out: yes or no.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from enforcer.policy.prefix import Service

# By protocol, ranges of ports in order, with a gap between each two.
Spans = dict[int, list[tuple[int, int]]]
_ALL_PORTS = (0, 65535)


def spans(services: Iterable[Service]) -> Spans:
    """What the services are together; one without ports is all of its protocol."""
    found: Spans = {}
    for protocol, first, last in sorted((s.protocol, *_ports(s)) for s in services):
        ranges = found.setdefault(protocol, [])
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], last)
        else:
            ranges.append((first, last))
    return found


def holds(theirs: Spans, services: Iterable[Service]) -> bool:
    """Whether each of the services lies inside the spans, with all of its ports."""
    for service in services:
        first, last = _ports(service)
        ranges = theirs.get(service.protocol, [])
        at = bisect_right(ranges, first, key=lambda span: span[0]) - 1
        if at < 0 or ranges[at][1] < last:
            return False
    return True


def includes(wider: Sequence[Service], narrower: Sequence[Service]) -> bool:
    """Whether `wider` lets through all that `narrower` does; an empty list is any service, and no
    list of services is as much.
    """
    return not wider or (bool(narrower) and holds(spans(wider), narrower))


def _ports(service: Service) -> tuple[int, int]:
    if service.first_port is None or service.last_port is None:
        return _ALL_PORTS
    return service.first_port, service.last_port
