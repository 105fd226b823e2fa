"""Names of tables and columns: whatever is allowed works in all nine nodes."""

from collections.abc import Callable
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import (
    AnnotationError,
    DataFlowError,
    DuplicateModelError,
    IdentifierError,
)

RunNode = Callable[[str, dict[str, Any]], dict[str, Any]]
ODD = [
    "success", "data", "filter", "error", "id_", "metadata", "type", "fields", "records", "ids",
    "all", "limit", "offset", "sort", "count", "next", "total", "found", "updated", "deleted",
    "key", "value", "values", "name", "table", "column", "registry", "query", "include", "where",
    "conditions", "updates", "update", "record_id", "hard", "failed", "error_type", "items", "get",
    "self", "cls", "model", "spec", "store", "run", "inserted", "processed", "rejected", "version",
    "deleted_at", "expected", "w0", "v_name", "after_0", "t", "s", "u", "j",
]  # fmt: skip


def exercise(db: DataFlow, run_node: RunNode, name: str, model: str = "Thing") -> None:
    created = run_node(f"{model}CreateNode", {name: "a", "other": 1})
    from_data = run_node(f"{model}BulkCreateNode", {"records": [{name: "b", "other": 2}]})
    read = run_node(f"{model}ReadNode", {"id": 1})
    found = run_node(f"{model}ListNode", {"conditions": {name: {"$in": ["a", "b"]}}, "sort": name})
    updated = run_node(f"{model}UpdateNode", {"id": 1, name: "c"})
    many = run_node(f"{model}BulkUpdateNode", {"conditions": {name: "c"}, "update": {name: "d"}})
    rows = run_node(f"{model}BulkUpdateNode", {"data": [{"id": 1, name: "e"}]})
    upserted = run_node(f"{model}BulkUpsertNode", {"data": [{"id": 1, name: "f", "other": 1}]})
    skipped = run_node(
        f"{model}BulkCreateNode",
        {"data": [{"id": 1, name: "x", "other": 1}], "on_conflict": "skip"},
    )
    choice = {"sort": f"-{name}", "limit": 1, "fields": [name]}
    page = run_node(f"{model}ListNode", choice)
    rest = run_node(f"{model}ListNode", {**choice, "after": page["next"]})
    deleted = run_node(f"{model}DeleteNode", {"where": {name: "f"}})
    gone = run_node(f"{model}BulkDeleteNode", {"where": {name: "b"}})

    record = {"id": 1, name: "a", "other": 1}
    assert created == record
    assert from_data["inserted"] == 1
    assert read == {**record, "found_" if name == "found" else "found": True}
    assert [item[name] for item in found["records"]] == ["a", "b"]
    flag = "updated_" if name == "updated" else "updated"
    assert updated == {**record, name: "c", flag: True}
    assert (many["updated"], rows["updated"], upserted["updated"]) == (1, 1, 1)
    assert skipped["skipped"] == 1
    assert [item for part in (page, rest) for item in part["records"]] == [{name: "f"}, {name: "b"}]
    assert (deleted, gone["deleted"]) == ({"id": 1, "deleted": True}, 1)
    assert db.count(model) == 0


def declare(db: DataFlow, name: str, model: str = "Thing", **options: Any) -> None:
    annotations = {"id": int, name: str, "other": int}
    db.model(timestamps=False, **options)(type(model, (), {"__annotations__": annotations}))


def failures(names: list[str], try_one: Callable[[int, str], None]) -> dict[str, str]:
    """Try every name in one database, which is faster than a database for each."""
    found = {}
    for number, name in enumerate(names):
        try:
            try_one(number, name)
        except (DataFlowError, AssertionError, TypeError, KeyError, AttributeError) as error:
            found[name] = str(error)
    return found


@pytest.mark.long
@pytest.mark.parametrize("names", [ODD[:20], ODD[20:40], ODD[40:]], ids=["1", "2", "3"])
def test_columns_of_these_names_work_through_all_nine_nodes(
    db: DataFlow, run_node: RunNode, names: list[str]
):
    def try_one(number: int, name: str) -> None:
        declare(db, name, f"Thing{number}")
        exercise(db, run_node, name, f"Thing{number}")

    assert failures(names, try_one) == {}


RESERVED = [
    "select", "order", "group", "user", "where_", "table", "column", "index", "primary", "check",
    "default", "desc", "limit", "offset", "union", "join", "left", "natural", "using", "window",
    "nothing", "excluded", "rowid", "current_timestamp", "null", "true", "array", "end", "when",
    "returning", "references", "transaction", "commit", "begin", "from_", "do", "generated",
    "always", "materialized", "range", "rows", "filter", "over", "cast", "analyze", "xmax_", "key",
    "within", "without", "lateral", "tablesample", "to", "then", "placing", "variadic", "MixedCase",
    "camelCase", "UPPER", "_leading", "a1",
]  # fmt: skip


@pytest.mark.long
def test_reserved_words_are_columns(db: DataFlow, run_node: RunNode):
    def try_one(number: int, name: str) -> None:
        declare(db, name, f"Thing{number}")
        exercise(db, run_node, name, f"Thing{number}")

    assert failures(RESERVED, try_one) == {}


@pytest.mark.long
def test_reserved_words_are_tables(db: DataFlow):
    def try_one(number: int, table: str) -> None:
        model, part = f"Thing{number}", f"Part{number}"
        declare(db, "text", model, table=table, indexes=["text"])
        key = Field(foreign_key=f"{table}.id")
        annotations = {"id": int, "thing_id": int}
        db.model(timestamps=False)(
            type(part, (), {"__annotations__": annotations, "thing_id": key})
        )
        one = db.create(model, {"text": "a", "other": 1})
        ids = db.bulk_create(model, [{"text": "b", "other": 1}] * 2, returning="ids")["ids"]
        db.bulk_update(model, [{"id": 2, "text": "c"}])
        rows = [{"id": 3, "text": "d", "other": 1}, {"id": 9, "text": "e", "other": 1}]
        db.bulk_upsert(model, rows)

        texts = [record["text"] for record in db.list(model, sort="text")["records"]]
        assert (one, ids, texts) == (
            {"id": 1, "text": "a", "other": 1}, [2, 3], ["a", "c", "d", "e"],
        )  # fmt: skip
        assert db.create(part, {"thing_id": 1}) == {"id": 1, "thing_id": 1}
        assert db.delete(model, 9) is True

    assert failures(RESERVED, try_one) == {}


def test_names_of_63_characters_work_whole(db: DataFlow, run_node: RunNode):
    field, table = "f" * 63, "t" * 63
    declare(db, field, table=table, indexes=[field], unique_together=[(field, "other")])

    exercise(db, run_node, field)

    assert db.get_model_info("Thing")["table"] == table


def test_two_long_names_never_share_a_table_or_index(db: DataFlow):
    for letter in "ab":
        name = "t" * 62 + letter
        annotations = {"id": int, "x" * 60: int}
        model = type(letter.upper(), (), {"__annotations__": annotations})
        db.model(timestamps=False, table=name, indexes=["x" * 60])(model)

    db.create("A", {"x" * 60: 1})

    assert (db.count("A"), db.count("B")) == (1, 0)


@pytest.mark.parametrize("length", [64, 65, 200])
def test_a_longer_name_is_refused(memory: DataFlow, length: int):
    with pytest.raises(IdentifierError) as of_table:
        declare(memory, "text", table="t" * length)
    with pytest.raises(IdentifierError) as of_field:
        declare(memory, "f" * length)

    assert str(of_table.value) == (
        f"table name '{'t' * length}' has {length} characters.\n"
        "  help: use letters, digits and underscores, at most 63, not starting with a digit\n"
        "  code: DF113"
    )
    assert str(of_field.value) == (
        f"field name '{'f' * length}' has {length} characters.\n"
        "  help: use letters, digits and underscores, at most 63, not starting with a digit\n"
        "  code: DF113"
    )
    assert memory.list_models() == []


def test_a_class_whose_table_name_would_be_too_long_is_refused(memory: DataFlow):
    with pytest.raises(IdentifierError):
        memory.model(type("T" + "x" * 70, (), {"__annotations__": {"id": int}}))


@pytest.mark.parametrize(
    "name", ["größe", "naïve", "名", "a b", "a-b", "1a", 'a"b', "a;b", "a.b", "", "a\n", "a'"]
)
def test_another_name_than_an_identifier_is_refused(memory: DataFlow, name: str):
    with pytest.raises(IdentifierError):
        declare(memory, "text", table=name) if name else declare(memory, name)
    with pytest.raises(IdentifierError):
        declare(memory, name)

    assert memory.list_models() == []


def test_columns_that_differ_in_case_alone_are_refused(memory: DataFlow):
    annotations = {"id": int, "name": str, "Name": str}

    with pytest.raises((AnnotationError, IdentifierError)) as caught:
        memory.model(type("Thing", (), {"__annotations__": annotations}))

    assert "case" in str(caught.value)


def test_tables_that_differ_in_case_alone_are_refused(memory: DataFlow):
    declare(memory, "text", table="things")

    with pytest.raises(DuplicateModelError):
        memory.model(table="Things")(type("Other", (), {"__annotations__": {"id": int}}))


@pytest.mark.parametrize(
    "name", ["__init__", "__dataflow__", "__table__", "__mapper__", "_sa_instance_state"]
)
def test_a_name_that_the_machinery_needs_is_refused_or_no_field(memory: DataFlow, name: str):
    annotations = {"id": int, name: str}

    try:
        memory.model(timestamps=False)(type("Thing", (), {"__annotations__": annotations}))
    except (AnnotationError, IdentifierError):
        return
    assert memory.create("Thing", {}) == {"id": 1}
