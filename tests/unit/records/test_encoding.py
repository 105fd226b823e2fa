"""Which rows have the same fields, and what is known of keys that stream by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.records.encoding import Keys, is_uniform


def watch(batches: list[list[int]], *, ordered: bool = True) -> Keys:
    keys = Keys(("id",), ordered=ordered)
    for batch in batches:
        keys.add([{"id": number} for number in batch])
    return keys


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        ([{"a": 1, "b": 2}, {"b": 3, "a": 4}], True),
        ([{"a": 1}, {"b": 1}], False),
        ([{"a": 1, "b": 2}, {"a": 1}], False),
        ([{"a": 1}, {"a": 1, "b": 2}], False),
        ([{}, {}], True),
        ([{}, {"a": 1}], False),
    ],
)
def test_rows_are_uniform_when_all_have_the_same_fields(rows: list[dict[str, int]], same: bool):
    assert is_uniform(rows) is same


class TestKeys:
    def test_keys_that_ascend_over_batches_do_not_repeat(self):
        keys = watch([[1, 2], [3], [10, 11]])

        assert (keys.ascend, keys.repeat) == (True, False)

    @pytest.mark.parametrize("batches", [[[1, 1]], [[1], [1]], [[2, 1, 2]], [[3, 4], [1, 4]]])
    def test_equal_keys_are_found(self, batches: list[list[int]]):
        keys = watch(batches)

        assert (keys.ascend, keys.repeat) == (False, True)

    def test_different_keys_in_disorder_do_not_repeat(self):
        keys = watch([[3, 1], [2]])

        assert (keys.ascend, keys.repeat) == (False, False)

    def test_keys_that_the_database_sorts_in_its_own_way_never_ascend(self):
        keys = watch([[1, 2], [3]], ordered=False)

        assert (keys.ascend, keys.repeat) == (False, False)

    def test_keys_of_several_fields_ascend_together(self):
        keys = Keys(("a", "b"), ordered=True)
        keys.add([{"a": 1, "b": 9}, {"a": 2, "b": 1}])

        assert (keys.ascend, keys.repeat) == (True, False)

    @given(st.lists(st.lists(st.integers(0, 9), min_size=1)), st.booleans())
    def test_no_repeated_key_is_missed(self, batches: list[list[int]], ordered: bool):
        flat = [number for batch in batches for number in batch]
        keys = watch(batches, ordered=ordered)

        assert keys.repeat or len(set(flat)) == len(flat)
        assert not keys.ascend or flat == sorted(set(flat))
