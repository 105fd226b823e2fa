"""Records, checked once at the edge."""

from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import RecordValidationError
from dataflow.models.columntypes import EncodedJson
from dataflow.records.validation import Validator


@pytest.fixture
def users(memory: DataFlow) -> Validator:
    @memory.model(timestamps=False)
    class User:
        id: int
        name: str
        age: int = 18
        note: str | None
        tags: list[str] = Field(default_factory=list)
        token: str = Field(default="t", secret=True, max_length=5)

    return Validator(User.__dataflow__)


def test_a_new_record_gets_its_defaults(users: Validator):
    assert users.record({"name": "Ada"}) == {
        "name": "Ada", "age": 18, "note": None, "tags": EncodedJson("[]"), "token": "t",
    }  # fmt: skip


def test_a_record_may_give_its_generated_key(users: Validator):
    assert users.record({"id": "5", "name": "Ada"})["id"] == 5


def test_changes_hold_only_what_was_given(users: Validator):
    assert users.changes({"age": "5"}) == {"age": 5}
    assert users.changes({}) == {}


def test_all_problems_are_named_at_once(users: Validator):
    with pytest.raises(RecordValidationError) as caught:
        users.record({"nmae": "x", "age": "old", "tags": ["a", 5], "note": 5})

    assert caught.value.problems == (
        (None, "name", "a value is required", None),
        (
            None,
            "age",
            "Input should be a valid integer, unable to parse string as an integer",
            "old",
        ),
        (None, "note", "Input should be a valid string", 5),
        (None, "tags.1", "Input should be a valid string", 5),
        (None, "nmae", "there is no such field", "x"),
    )
    assert str(caught.value) == (
        "values do not fit model 'User':\n"
        "  name: a value is required (got None)\n"
        "  age: Input should be a valid integer, unable to parse string as an integer (got 'old')\n"
        "  note: Input should be a valid string (got 5)\n"
        "  tags.1: Input should be a valid string (got 5)\n"
        "  nmae: there is no such field (got 'x')\n"
        "  help: for 'nmae', did you mean 'name'?\n"
        "  code: DF201"
    )


def test_more_than_five_problems_are_counted(users: Validator):
    with pytest.raises(RecordValidationError) as caught:
        users.record({"name": "a", **{f"x{number}": 1 for number in range(8)}})

    assert "  … and 3 more\n" in str(caught.value)


def test_a_long_value_is_cut_in_the_text(users: Validator):
    with pytest.raises(RecordValidationError) as caught:
        users.record({"name": ["x" * 500]})

    (line,) = [line for line in str(caught.value).splitlines() if line.startswith("  name")]
    assert len(line) < 140
    assert line.endswith("…)")


def test_a_secret_is_masked_in_problems(users: Validator):
    with pytest.raises(RecordValidationError) as caught:
        users.record({"name": "a", "token": "far too long"})

    assert caught.value.problems == (
        (None, "token", "String should have at most 5 characters", "***"),
    )


def test_a_batch_is_split_into_valid_rows_and_problems(users: Validator):
    rows: list[Any] = [{"name": "a"}, {"name": 5}, 7, {"name": "b", "x": 1}, {"name": "c"}]

    valid, positions, problems = users.records(rows, 100)

    assert [row["name"] for row in valid] == ["a", "c"]
    assert positions == [0, 4]
    assert [(index, field) for index, field, _, _ in problems] == [
        (101, "name"), (102, "record"), (103, "x"),
    ]  # fmt: skip


def test_the_given_record_is_not_changed(users: Validator):
    given = {"name": "a", "age": "5"}

    users.record(given)

    assert given == {"name": "a", "age": "5"}


def test_one_value_is_checked_for_its_field(users: Validator):
    fields = users.spec.fields

    assert users.value(fields["age"], "5") == 5
    assert users.value(fields["note"], None) is None
    with pytest.raises(RecordValidationError) as caught:
        users.value(fields["age"], None)
    assert caught.value.problems == ((None, "age", "Input should be a valid integer", None),)


@pytest.mark.parametrize("given", [None, 5, "text", [("name", "a")]], ids=str)
def test_a_record_that_is_no_dict_is_refused(users: Validator, given: Any):
    for check in (users.record, users.changes):
        with pytest.raises(RecordValidationError) as caught:
            check(given)

        assert [problem[:2] for problem in caught.value.problems] == [(None, "record")]


@pytest.mark.parametrize("names", [("nmae", "nmae"), ("name", "nmae"), ("nmae", "name")])
@pytest.mark.parametrize("update", [False, True])
def test_an_unknown_field_of_a_batch_is_found(users: Validator, names: Any, update: bool):
    rows = [{"name": "Ada", "age": 1, name: "Bob"} for name in names]

    _, positions, problems = users.records(rows, 0, update=update)

    assert positions == [n for n, name in enumerate(names) if name == "name"]
    assert [field for _, field, _, _ in problems] == ["nmae"] * names.count("nmae")
