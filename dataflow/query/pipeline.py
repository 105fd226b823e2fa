"""A pipeline, compiled to one SELECT and the shape of what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.types import TypeEngine

from dataflow.query.accumulators import ACCUMULATORS
from dataflow.query.kinds import Document, Json, JsonText, Scalar
from dataflow.query.rows import Plan, Table, order_columns, rows_of
from dataflow.query.stages import STAGES, apply_stages
from dataflow.query.terms import Term, call

__all__ = ["CompiledPipeline", "compile_pipeline", "is_scalar"]

Columns = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class CompiledPipeline:
    """A statement with its parameters' values.

    Attributes:
        columns: What each row holds.
        scalar: Whether the only value of the only row is the result.
        empty: The result of a scalar pipeline without rows.
    """

    statement: Any
    values: Mapping[str, Any]
    columns: Columns
    scalar: bool = False
    empty: Any = None


def is_scalar(pipeline: Any) -> bool:
    """Whether a pipeline ends in a bare accumulator, such as `{"$sum": "$amount"}`."""
    last = pipeline[-1] if isinstance(pipeline, list | tuple) and pipeline else None
    if not isinstance(last, Mapping) or len(last) != 1:
        return False
    (name,) = last
    return name in ACCUMULATORS and name not in STAGES


def compile_pipeline(plan: Plan, table: Table, pipeline: Any) -> CompiledPipeline:
    """Return the SELECT that a pipeline means.

    Args:
        plan: Collects the parameters of filters.
        table: The model that it begins with.
        pipeline: MongoDB's stages.

    Raises:
        FilterError: For an unknown stage, operator or shape.
        UnknownFieldError: For a field that a stage lacks.
    """
    scalar = is_scalar(pipeline)
    empty = 0 if scalar and "$sum" in pipeline[-1] else None
    if scalar:
        pipeline = [*pipeline[:-1], {"$group": {"_id": None, "value": pipeline[-1]}}]
    rows = apply_stages(rows_of(plan, table), pipeline)
    if scalar:
        rows = rows.replaced(fields={"value": rows.fields["value"]})
    found: list[Any] = []
    columns = [(name, _column(term, found)) for name, term in rows.fields.items()]
    statement = rows.select(found)
    if rows.order and not rows.is_limited:
        statement = statement.order_by(*order_columns(rows.order))
    return CompiledPipeline(statement, plan.values, columns, scalar, empty)


def _column(term: Term, found: list[Any]) -> TypeEngine[Any] | Columns:
    """Add a field's expressions to the list, and return how they are read."""
    if term.is_document:
        return [(name, _column(part, found)) for name, part in term.parts.items()]
    kind = term.kind
    type_ = kind.type if isinstance(kind, Scalar) else getattr(kind, "declared", None)
    if type_ is not None:
        found.append(term.sql)
        return type_
    found.append(call("json text", term).sql)
    return JsonText(kind, missing=isinstance(kind, Json | Document))
