"""Rows of bulk verbs: what is no row, and rows with the same key."""

import pytest

from dataflow import DataFlow
from dataflow.errors import RecordValidationError


@pytest.mark.parametrize("verb", ["bulk_create", "bulk_update", "bulk_upsert"])
@pytest.mark.parametrize("rows", [[5], [{"id": 1, "name": "a"}, "b"], [None]], ids=str)
def test_rows_that_are_no_dicts_are_named_as_such(db: DataFlow, verb: str, rows: list[object]):
    @db.model(timestamps=False)
    class Thing:
        id: int
        name: str

    with pytest.raises(RecordValidationError) as caught:
        getattr(db, verb)("Thing", rows)

    assert {index for index, *_ in caught.value.problems} == {len(rows) - 1}
    assert db.count("Thing") == 0


@pytest.mark.parametrize("count", [10, 3_000])
@pytest.mark.parametrize("verb", ["bulk_update", "bulk_upsert"])
def test_of_rows_with_one_key_the_last_wins_however_many_there_are(
    db: DataFlow, verb: str, count: int
):
    @db.model(timestamps=False)
    class Score:
        id: int
        points: int

    db.bulk_create("Score", [{"id": n, "points": 0} for n in range(1, count + 1)])
    rows = [{"id": n, "points": turn} for turn in (1, 2, 3) for n in range(1, count + 1)]

    getattr(db, verb)("Score", rows)

    assert db.count("Score", {"points": 3}) == db.count("Score") == count


def test_of_new_rows_with_one_key_the_first_wins_when_conflicts_are_ignored(db: DataFlow):
    @db.model(timestamps=False)
    class Score:
        id: int
        points: int

    rows = [{"id": n, "points": turn} for turn in (1, 2) for n in range(1, 2_001)]

    result = db.bulk_upsert("Score", rows, on_conflict="ignore")

    assert (result["inserted"], result["skipped"]) == (2_000, 2_000)
    assert db.count("Score", {"points": 1}) == 2_000
