"""The bench draws sources as its docstring says, always the same for the same seed."""

from __future__ import annotations

import ipaddress

import numpy as np

from benchmarks.sources import Prefixes, draw, strangers, zipf_choice

PREFIXES = Prefixes(
    np.array([0x0B000000, 0x0B000000, 0x0B800000, 0xC0000200], np.uint32),
    np.array([8, 24, 32, 24], np.uint8),
)


def random() -> np.random.Generator:
    return np.random.default_rng(11)


def inside(address: int) -> bool:
    networks = ("11.0.0.0/8", "192.0.2.0/24")
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(n) for n in networks)


def test_holds_sees_the_wide_prefix_behind_nested_ones_and_both_edges() -> None:
    asked = ["10.255.255.255", "11.0.0.0", "11.0.1.0", "11.128.0.1", "11.255.255.255", "12.0.0.0",
             "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"]  # fmt: skip
    addresses = np.array([int(ipaddress.ip_address(a)) for a in asked], np.uint32)
    wanted = [False, True, True, True, True, False, False, True, True, False]
    assert PREFIXES.holds(addresses).tolist() == wanted


def test_nothing_is_held_by_no_prefixes() -> None:
    empty = Prefixes(np.zeros(0, np.uint32), np.zeros(0, np.uint8))
    assert empty.holds(np.array([1, 2], np.uint32)).tolist() == [False, False]


def test_strangers_are_unicast_and_registered_nowhere() -> None:
    found = strangers(random(), PREFIXES, 5000)
    assert len(found) == 5000
    first_bytes = set((found >> 24).tolist())
    assert min(first_bytes) >= 1
    assert max(first_bytes) <= 223
    assert not first_bytes & {10, 11, 127}
    assert not PREFIXES.holds(found).any()


def test_the_share_of_registered_sources_is_exact() -> None:
    for share in (0.0, 0.02, 0.5, 1.0):
        for zipf in (False, True):
            found = draw(random(), PREFIXES, 1000, share=share, zipf=zipf)
            assert (found.dtype, len(found)) == (np.uint32, 1000)
            assert sum(map(inside, found.tolist())) == round(1000 * share)


def test_uniform_means_every_prefix_alike_however_wide() -> None:
    found = draw(random(), PREFIXES, 8000, share=1.0, zipf=False)
    hosts = int((found == 0x0B800000).sum())
    assert 1800 < hosts < 2200


def test_zipf_ranks_fall_as_their_exponent_says() -> None:
    counts = np.bincount(zipf_choice(random(), 1000, 200_000), minlength=1000)
    assert len(counts) == 1000
    assert abs(counts[0] / counts[1] - 2**1.2) < 0.15
    assert abs(counts[0] / counts[9] - 10**1.2) < 1.5


def test_the_same_seed_draws_the_same_sources() -> None:
    one, other = (draw(random(), PREFIXES, 500, share=0.5, zipf=True) for _ in range(2))
    assert (one == other).all()
