"""Deaths in the middle of a load are counted over restarts, and end with a load that ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.loading import FILE, MOST_DEATHS, Loading


def die(directory: Path) -> None:
    """What a killed process leaves behind: a load that began and never ended."""
    Loading(directory).__enter__()


def gives_up(directory: Path) -> bool:
    loading = Loading(directory)
    with loading:
        return loading.gives_up


def test_after_three_deaths_in_a_row_it_is_not_tried_again(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    for deaths in range(MOST_DEATHS):
        assert Loading(directory).deaths == deaths
        die(directory)
    assert gives_up(directory)


@pytest.mark.parametrize("how", [None, ValueError()])
def test_a_load_that_ends_however_it_ends_begins_the_count_anew(
    tmp_path: Path, how: Exception | None
) -> None:
    die(tmp_path)
    die(tmp_path)
    try:
        with Loading(tmp_path):
            if how is not None:
                raise how
    except ValueError:
        pass
    assert not (tmp_path / FILE).exists()
    assert not gives_up(tmp_path)


def test_what_was_not_tried_stays_counted(tmp_path: Path) -> None:
    for _ in range(MOST_DEATHS):
        die(tmp_path)
    for _ in range(2):
        loading = Loading(tmp_path)
        with loading:
            assert loading.gives_up
            loading.go_on()
    with loading:
        pass
    assert not gives_up(tmp_path), "a reload that ended"


@pytest.mark.parametrize("text", ["", "x", "-5", "²", "9" * 100])
def test_a_spoilt_count_is_none_or_many_and_stops_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert Loading(tmp_path).deaths in (0, 9999)


def test_where_nothing_can_be_written_nothing_is_counted() -> None:
    for _ in range(5):
        die(Path("/proc/nowhere"))
    assert not gives_up(Path("/proc/nowhere"))
