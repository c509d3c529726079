"""A delta leads from one stage to the other, and says no more than is needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.lookup import delta as delta_room
from enforcer.lookup.delta import delta
from enforcer.lookup.tables import Stage

Content = dict[int, int]


def stage(family: int, content: Content) -> Stage:
    keys = sorted(content)
    classes = np.array([content[key] for key in keys], np.uint32)
    if family == 4:
        return Stage.of(4, 32, np.array(keys, np.uint32), classes)
    packed = b"".join(key.to_bytes(16, "big") for key in keys)
    return Stage.of(6, 128, np.frombuffer(packed, "V16"), classes)


def content(of: Stage) -> Content:
    if of.family == 4:
        keys = of.keys.tolist()
    else:
        keys = [int.from_bytes(key.tobytes(), "big") for key in of.keys]
    return dict(zip(keys, of.classes.tolist(), strict=True))


# Keys that begin and end in zeros, and differ in one byte only.
small = st.integers(0, 40)
wide = st.sampled_from([0, 1, 255, 256, 1 << 64, (1 << 64) + 1, 1 << 120, (1 << 127) + 256])
contents = st.dictionaries(small, st.integers(1, 3), max_size=30)
wide_contents = st.dictionaries(wide, st.integers(1, 3))


@given(
    st.one_of(
        st.tuples(st.just(4), contents, contents),
        st.tuples(st.just(6), contents, contents),
        st.tuples(st.just(6), wide_contents, wide_contents),
    ),
    st.booleans(),
)
def test_the_delta_is_the_difference_of_the_two_contents(
    drawn: tuple[int, Content, Content], by_sorting: bool
) -> None:
    family, before, after = drawn
    old, new = stage(family, before), stage(family, after)
    limit = delta_room._WALKED_DIFFERENCES
    delta_room._WALKED_DIFFERENCES = -1 if by_sorting else limit
    try:
        change = delta(old, new)
    finally:
        delta_room._WALKED_DIFFERENCES = limit
    if before == after:
        assert change is None
        return
    assert change is not None
    removed, added = change
    assert removed == stage(family, dict(before.items() - after.items()))
    assert added == stage(family, dict(after.items() - before.items()))
    left = {key: value for key, value in before.items() if key not in content(removed)}
    assert left | content(added) == after


def test_equal_stages_have_no_delta() -> None:
    assert delta(stage(4, {1: 2}), stage(4, {1: 2})) is None


def test_changes_at_both_ends_of_a_long_stage_are_two_rows() -> None:
    before = dict.fromkeys(range(0, 400000, 2), 1)
    after = before | {1: 5, 399_999: 6}
    del after[10]
    after[200_000] = 9
    change = delta(stage(4, before), stage(4, after))
    assert change is not None
    assert [content(part) for part in change] == [
        {10: 1, 200_000: 1},
        {1: 5, 200_000: 9, 399_999: 6},
    ]


def test_stages_of_two_lengths_have_no_delta_in_common() -> None:
    with pytest.raises(ValueError, match="one family and length"):
        delta(stage(4, {1: 1}), stage(6, {1: 1}))
