"""Values that JSON cannot carry, in every verb that writes."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column
from typing_extensions import TypedDict

from dataflow import DataFlow, Field
from dataflow.errors import RecordValidationError


class Size(TypedDict):
    width: float


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


NAN = float("nan")
NO_SET = "not a JSON document: Object of type set is not JSON serializable"
NO_NAN = "not a JSON document: it holds NaN or an infinite number"
NO_NUL = "JSON text cannot hold the character U+0000"
NO_CYCLE = "not a JSON document: it contains itself, or is nested too deeply"
REFUSED: list[tuple[Any, str]] = [
    ({"a": {1}}, NO_SET),
    ({"a": NAN}, NO_NAN),
    ({"a": "x\0"}, NO_NUL),
    (cyclic(), NO_CYCLE),
    ({"a": deep()}, NO_CYCLE),
    ({1: 2}, "a JSON object's keys are texts, not 1"),
]
IDS = ["set", "nan", "nul", "cyclic", "deep", "key"]


def declare(db: DataFlow, kind: Any = dict) -> DataFlow:
    @db.model(timestamps=False)
    class Note:
        id: int
        name: str = Field(unique=True)
        meta: kind | None = None

    return db


@pytest.fixture
def notes(db: DataFlow) -> DataFlow:
    return declare(db)


def problems_of(caught: pytest.ExceptionInfo[RecordValidationError]) -> list[tuple[Any, ...]]:
    return [problem[:3] for problem in caught.value.problems]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=IDS)
def test_a_create_names_the_field(notes: DataFlow, value: Any, reason: str):
    with pytest.raises(RecordValidationError) as caught:
        notes.create("Note", {"name": "a", "meta": value})

    assert problems_of(caught) == [(None, "meta", reason)]
    assert str(caught.value).startswith(f"values do not fit model 'Note':\n  meta: {reason} (got ")
    assert notes.count("Note") == 0


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=IDS)
def test_an_update_names_the_field(notes: DataFlow, value: Any, reason: str):
    notes.create("Note", {"name": "a"})

    with pytest.raises(RecordValidationError) as one:
        notes.update("Note", 1, {"meta": value})
    with pytest.raises(RecordValidationError) as many:
        notes.bulk_update("Note", {"name": "a"}, {"meta": value})
    with pytest.raises(RecordValidationError) as rows:
        notes.bulk_update("Note", [{"id": 1, "meta": {}}, {"id": 2, "meta": value}])

    assert problems_of(one) == problems_of(many) == [(None, "meta", reason)]
    assert problems_of(rows) == [(1, "meta", reason)]
    assert notes.read("Note", 1) == {"id": 1, "name": "a", "meta": None}


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=IDS)
def test_a_bulk_create_names_record_and_field(notes: DataFlow, value: Any, reason: str):
    with pytest.raises(RecordValidationError) as caught:
        notes.bulk_create("Note", [{"name": "a"}, {"name": "b", "meta": value}], batch_size=1)

    assert problems_of(caught) == [(1, "meta", reason)]
    assert notes.count("Note") == 0


def test_a_bulk_upsert_names_record_and_field(notes: DataFlow):
    rows = [{"name": "a"}, {"name": "a", "meta": {}}, {"name": "b", "meta": {"a": {1}}}]

    with pytest.raises(RecordValidationError) as caught:
        notes.bulk_upsert("Note", rows, conflict_on="name")

    assert problems_of(caught) == [(2, "meta", NO_SET)]


def test_collecting_rejects_the_rows_with_such_values_alone(notes: DataFlow):
    rows = [
        {"name": "a", "meta": {"x": [1]}},
        {"name": "b", "meta": {"x": {1}}},
        {"name": "c", "meta": {"x": NAN}},
        {"name": "d", "meta": None},
        {"name": "a", "meta": {"x": 2}},
    ]

    result = notes.bulk_create("Note", rows, on_error="collect", returning="records")

    assert result["records"] == [
        {"id": result["records"][0]["id"], "name": "a", "meta": {"x": [1]}},
        {"id": result["records"][1]["id"], "name": "d", "meta": None},
    ]
    assert [(r["index"], r["field"], r["reason"]) for r in result["rejected"]] == [
        (1, "meta", NO_SET),
        (2, "meta", NO_NAN),
        (4, "name", "a record of 'notes' with the same name exists already."),
    ]
    assert result["rejected"][0]["value"] == {"x": {1}}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (dict[str, Any], {"a": object}, "not a JSON document: Unable to serialize unknown type: "),
        (dict[str, Any], cyclic(), NO_CYCLE),
        (list[Any], ["\0"], NO_NUL),
        (Any, {1}, NO_SET),
    ],
)
def test_documents_with_a_declared_inside_name_the_field(
    memory: DataFlow, kind: Any, value: Any, reason: str
):
    declare(memory, kind)

    with pytest.raises(RecordValidationError) as caught:
        memory.create("Note", {"name": "a", "meta": value})

    ((index, field, found),) = problems_of(caught)
    assert (index, field) == (None, "meta")
    assert found.startswith(reason)


def test_a_typed_document_is_stored_as_what_it_is(db: DataFlow):
    declare(db, Size)

    db.create("Note", {"name": "a", "meta": {"width": 1}})
    db.bulk_create("Note", [{"name": "b", "meta": {"width": "2.5"}}])
    db.update("Note", 1, {"meta": {"width": 3}})

    assert db.list("Note", sort="id")["records"] == [
        {"id": 1, "name": "a", "meta": {"width": 3.0}},
        {"id": 2, "name": "b", "meta": {"width": 2.5}},
    ]


def test_a_node_refuses_such_a_value_where_it_is_added(memory: DataFlow):
    node_type = declare(memory).nodes.NoteCreateNode

    problems = node_type.check_inputs({"name": "a", "meta": {"a": {1}}}, ())

    assert problems == [f"values do not fit model 'Note': meta: {NO_SET} (got {{'a': {{1}}}})"]


def test_a_secret_document_is_not_shown(memory: DataFlow):
    @memory.model
    class Note:
        meta: dict = Field(secret=True)

    with pytest.raises(RecordValidationError) as caught:
        memory.create("Note", {"meta": {"a": {1}}})

    assert caught.value.problems == ((None, "meta", NO_SET, "***"),)


def test_a_document_of_a_declarative_class_names_the_field(db: DataFlow):
    @db.model
    class Note:
        id: Mapped[int] = mapped_column(primary_key=True)
        meta: Mapped[Any] = mapped_column(JSON)

    with pytest.raises(RecordValidationError) as caught:
        db.create("Note", {"meta": {"a": {1}}})

    assert problems_of(caught) == [(None, "meta", NO_SET)]
    assert db.create("Note", {"meta": {"a": [1]}})["meta"] == {"a": [1]}


@pytest.mark.parametrize("made", ["at first use", "by files"])
@pytest.mark.parametrize("value", ['it\'s 100% \\ :x "😀"', "", "5", 5, -1.5])
def test_a_constant_is_the_default_of_a_document_in_the_table_too(
    open_db: Callable[[], DataFlow], made: str, value: Any
):
    db = open_db()

    @db.model(timestamps=False)
    class Thing:
        name: str
        extra: Any = value

    if made == "by files":
        db.migrations.revision("Things")
        db.migrations.upgrade()
    db.create("Thing", name="a")
    with db.session() as session:
        session.execute(sa.text("INSERT INTO things (name) VALUES ('b')"))
        session.commit()

    found = [record["extra"] for record in db.list("Thing")["records"]]
    assert [(type(extra), extra) for extra in found] == [(type(value), value)] * 2
