"""The tables of the reference are complete and say what the code does."""

from __future__ import annotations

import datetime as dt
import inspect
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pages import DOCS, code_of, tables_of
from sqlalchemy.dialects import postgresql, sqlite

import dataflow
from dataflow import DataFlow, DataFlowConfig, Field, Relationship, Retry, SwitchNode, errors
from dataflow.models.fields import FieldOptions
from dataflow.models.spec import ModelOptions
from dataflow.nodes.parameter import REQUIRED
from dataflow.query import filters
from dataflow.query.builder import QueryBuilder
from dataflow.records.query import AsyncQuery, Query
from dataflow.runtime import events
from dataflow.runtime.builder import StepOptions
from dataflow.runtime.local import RunOptions

REFERENCE = DOCS / "reference"
NODES = ("Create", "Read", "Update", "Delete", "List", "BulkCreate", "BulkUpdate", "BulkDelete",
         "BulkUpsert")  # fmt: skip
TYPES = {
    "Annotated": Annotated, "Decimal": Decimal, "Field": Field, "Literal": Literal,
    "UUID": uuid.UUID, "date": dt.date, "datetime": dt.datetime, "time": dt.time,
    "timedelta": dt.timedelta,
}  # fmt: skip


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def calls_of(kind: type) -> list[str]:
    """Return the public methods of a class as they are called, without types."""
    calls = []
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            parameters = list(inspect.signature(method).parameters.values())[1:]
            plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
            calls.append(f"{name}{inspect.Signature(plain)}")
    return calls


def error_classes() -> dict[str, str]:
    """Return `{class name: code}` of all errors that are raised."""
    families = {"DataFlowError", "DefinitionError", "DatabaseError", "ExecutionError"}
    return {
        name: item.code
        for name, item in vars(errors).items()
        if inspect.isclass(item) and issubclass(item, errors.DataFlowError) and name not in families
    }


@pytest.mark.parametrize("family", ["DefinitionError", "DatabaseError", "ExecutionError"])
def test_the_reference_lists_every_error_of_a_family_with_its_code(family: str):
    base = getattr(errors, family)
    expected = {
        (code, name)
        for name, code in error_classes().items()
        if issubclass(getattr(errors, name), base)
    }
    text = (REFERENCE / "errors.md").read_text()
    (heading,) = re.findall(rf"^## {family}.*$", text, re.MULTILINE)

    rows = tables_of(REFERENCE / "errors.md", heading)

    assert {(code, code_of(name)) for code, name, *_ in rows} == expected
    assert all(len(row) == 4 and row[2] and row[3] for row in rows)


def test_the_reference_says_of_each_error_whether_it_is_retryable():
    rows = tables_of(REFERENCE / "errors.md")
    said = {code_of(row[1]) for row in rows if "retryable" in row[2]}

    actual = {name for name in error_classes() if getattr(errors, name).retryable}
    assert said == actual


def test_every_public_error_is_public():
    assert set(error_classes()) <= set(errors.__all__)


@pytest.mark.parametrize("verb", NODES)
def test_the_reference_lists_the_inputs_of_a_node_with_their_defaults(verb: str, memory: DataFlow):
    @memory.model
    class Thing:
        name: str

    fields = set(memory.get_model_info("Thing")["fields"])
    node = memory.nodes.get(f"Thing{verb}Node")
    expected = {
        p.name: "required" if p.default is REQUIRED else repr(p.default)
        for p in node.parameters().values()
        if p.name not in fields
    }

    rows = tables_of(REFERENCE / "nodes.md", f"## {verb}")

    assert {code_of(name): code_of(default) for name, default, _ in rows} == expected


@pytest.mark.parametrize("verb", NODES)
def test_the_reference_names_the_outputs_of_a_node(verb: str, memory: DataFlow):
    @memory.model
    class Thing:
        name: str

    fields = set(memory.get_model_info("Thing")["fields"]) - {"id"}
    outputs = set(memory.nodes.get(f"Thing{verb}Node").outputs() or ()) - fields
    (row,) = [r for r in tables_of(REFERENCE / "nodes.md", "## In one table") if r[0] == verb]

    record = {"id"} if "record" in row[2] else set()
    assert set(names_in(row[2])) | record == outputs | record


def test_the_reference_lists_every_operator_of_filters():
    rows = tables_of(REFERENCE / "nodes.md", "## Filters")
    listed = [name for row in rows for name in names_in(row[0])]

    assert sorted(listed) == sorted({*filters._OPERATORS, "$and", "$or", "$nor", "$not"})


def test_the_reference_lists_the_inputs_and_outputs_of_the_aggregate_node(memory: DataFlow):
    node = memory.nodes.get("AggregateNode")
    expected = {
        p.name: "required" if p.default is REQUIRED else repr(p.default)
        for p in node.parameters().values()
    }

    rows = tables_of(REFERENCE / "nodes.md", "## AggregateNode")
    section = (REFERENCE / "nodes.md").read_text().partition("## AggregateNode")[2]
    (outputs,) = re.findall(r"Output: (.*?)\. ", section.partition("## ")[0], re.DOTALL)

    assert {code_of(name): code_of(default) for name, default, _ in rows} == expected
    assert set(names_in(outputs)) == set(node.outputs() or ())


@pytest.mark.parametrize("face", [Query, AsyncQuery])
def test_the_reference_lists_every_step_and_result_of_a_query_as_it_is_called(face: type):
    page = REFERENCE / "queries.md"
    listed = [
        names_in(row[0])[0] for row in tables_of(page, "## Steps") + tables_of(page, "## Results")
    ]

    assert sorted(listed) == sorted(calls_of(face))


def test_the_reference_lists_every_call_of_the_query_builder():
    rows = tables_of(REFERENCE / "queries.md", "## Query builder")

    assert sorted(n for row in rows for n in names_in(row[0])) == sorted(calls_of(QueryBuilder))


@pytest.mark.parametrize(
    ("annotation", "on_postgresql", "on_sqlite"),
    [tuple(map(code_of, row)) for row in tables_of(REFERENCE / "models.md", "## Types")],
    ids=lambda cell: cell,
)
def test_the_reference_says_how_a_type_is_stored(
    annotation: str, on_postgresql: str, on_sqlite: str, memory: DataFlow
):
    kind: Any = eval(annotation, TYPES)
    namespace = {"__annotations__": {"value": kind}, "__module__": __name__}
    model = memory.model(type("Thing", (), namespace))

    column = model.__dataflow__.fields["value"].column

    assert column.type.compile(postgresql.dialect()) == on_postgresql
    assert column.type.compile(sqlite.dialect()) == on_sqlite


def test_the_reference_lists_every_option_of_field_relationship_and_model():
    page = REFERENCE / "models.md"

    def listed(heading: str) -> list[str]:
        return sorted(name for row in tables_of(page, heading) for name in names_in(row[0]))

    fields = [*FieldOptions.__annotations__, "default", "default_factory"]
    assert listed("## Field") == sorted(fields)
    assert listed("## Relationship") == sorted(inspect.signature(Relationship).parameters)
    options = {name: repr(getattr(ModelOptions(), name)) for name in ModelOptions.__annotations__}
    rows = tables_of(page, "## Options of a model")
    assert {code_of(name): code_of(default) for name, default, _ in rows} == options


def test_the_reference_lists_every_setting_with_its_default():
    expected = {n: repr(field.default) for n, field in DataFlowConfig.model_fields.items()}

    rows = tables_of(REFERENCE / "configuration.md")

    assert {code_of(name): code_of(default) for name, default, _ in rows} == expected


@pytest.mark.parametrize(
    ("after", "options"),
    [("option of a step", StepOptions), ("option of a run", RunOptions)],
)
def test_the_reference_lists_every_option_of_steps_and_runs(after: str, options: Any):
    text = (REFERENCE / "runtime.md").read_text()
    table = text.partition(f"| {after} |")[2].partition("\n\n")[0]

    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(listed) == sorted(options.__annotations__)


def test_the_reference_shows_the_signature_of_retry_and_the_events():
    text = (REFERENCE / "runtime.md").read_text()
    names = list(inspect.signature(Retry).parameters)
    (shown,) = re.findall(r"`Retry\((.*?)\)`", text)

    assert re.findall(r"(\w+)=", shown) == names
    assert all(f"`{name}`" in text for name in events.__all__ if name != "Event")
    assert all(f"`{name}`" in text for name in SwitchNode.parameters())


@pytest.mark.parametrize("name", dataflow.__all__)
def test_every_public_name_is_mentioned_in_the_documentation(name: str):
    pages = [path.read_text() for path in Path(DOCS).rglob("*.md")]

    assert any(re.search(rf"\b{name}\b", text) for text in pages)
