"""The ceilings of promise 7. They are code: no configuration raises them."""

from __future__ import annotations

from datetime import timedelta

ESTATE_IPV4_ADDRESSES = 4096
ESTATE_IPV6_SLASH_64S = 16
ESTATE_PORTS_PER_SERVICE = 4096
GUARD_WINDOW = timedelta(hours=72)
# A pause shorter than this does not end a guard window: what follows it is the same window.
GUARD_PAUSE = timedelta(hours=1)
GUARD_PERIOD = timedelta(days=30)
GUARD_ARMED_IN_PERIOD = timedelta(days=15)

# The rest of a link keeps at least a fifth of it (the `reserve` row of the design's table).
RESERVE_SHARE = 0.8
# Less would be no guarantee, and HTB refuses a rate of nothing.
RESERVE_LEAST_SHARE = 0.01

# Packets a second of each kind (window, measure, verdict, family, category) that may be sampled.
SAMPLE_DEFAULT, SAMPLE_MOST = 10, 1000

# A registered prefix wider than this is a mistake, not a VPN end point.
REGISTERED_SHORTEST = {4: 8, 6: 19}
