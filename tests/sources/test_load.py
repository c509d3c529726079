"""A configuration loaded over the one in force: as if it were the first, whatever changed."""

from __future__ import annotations

from random import Random

import pytest

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy import registry as room
from enforcer.policy import registry_pieces
from enforcer.policy.model import Gateway, Policy
from enforcer.sources.load import Configuration, parse_all
from tests.policy.test_registry_pieces import everything

POLICY = Policy(Gateway("gw", ("wan0",)), CATEGORIES)
FILES = {"a.csv": 5, "b.csv": 6, "c.csv": 7}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PIECE_BYTES", 4000)


def loaded(files: dict[str, bytes], before: Configuration | None = None) -> Configuration:
    registry, pieces = parse_all(files, POLICY, before)
    return Configuration(POLICY, registry, None, pieces)


@pytest.mark.parametrize("seed", range(5))
def test_several_files_read_again_are_as_read_for_the_first_time(seed: int) -> None:
    random = Random(seed)
    files = {name: generate(400, number) for name, number in FILES.items()}
    before = loaded(files)
    for _ in range(4):
        name = random.choice(sorted(files))
        lines = files[name].splitlines(keepends=True)
        lines[random.randrange(1, len(lines))] = b"R-new,198.18.7.0/24,mission,,,udp/7\n"
        del lines[random.randrange(1, len(lines))]
        files[name] = b"".join(lines)
        if random.random() < 0.3:
            files = dict(reversed(files.items()))
        again, fresh = loaded(files, before), loaded(files)
        assert everything(again.registry) == everything(fresh.registry)
        for family in (4, 6):
            columns = again.registry.of_family(family)  # type: ignore[arg-type]
            assert columns.file.tolist() == fresh.registry.of_family(family).file.tolist()  # type: ignore[arg-type]
        assert again.pieces == fresh.pieces
        before = again


def test_of_files_that_did_not_change_nothing_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: generate(400, number) for name, number in FILES.items()}
    before = loaded(files)

    def never(*_: object) -> object:
        raise AssertionError("a piece was parsed")

    monkeypatch.setattr(registry_pieces, "read_csv", never)
    assert loaded(files, before).registry.digest == before.registry.digest
    with pytest.raises(AssertionError, match="a piece was parsed"):
        loaded(files)
