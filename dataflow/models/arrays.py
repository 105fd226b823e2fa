"""Arrays of PostgreSQL: which lists a column of them takes."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter
from pydantic_core import PydanticCustomError

__all__ = ["array_annotation"]


def array_annotation(item: Any, dimensions: int | None) -> Any:
    """Return the annotation of an array; asyncpg takes any iterable, a text too, and its letters.

    Args:
        item: The annotation of an element.
        dimensions: How deep lists are nested; None: as the server, any depth.
    """
    flat: TypeAdapter[list[Any]] = TypeAdapter(list[item])  # pyright: ignore[reportInvalidTypeForm]  # built from data
    return Annotated[list[Any], AfterValidator(partial(_checked, flat, dimensions))]


def _checked(flat: TypeAdapter[list[Any]], dimensions: int | None, value: list[Any]) -> list[Any]:
    found = _elements(flat, value)
    shape = _shape(found)
    if dimensions is not None and found and len(shape) != dimensions:
        _refuse(f"its lists are not nested {dimensions} deep")
    return found


def _elements(flat: TypeAdapter[list[Any]], value: list[Any]) -> list[Any]:
    if any(isinstance(item, list | tuple) for item in value):
        if not all(isinstance(item, list | tuple) for item in value):
            _refuse("it has values beside lists")
        return [_elements(flat, list(item)) for item in value]
    return flat.validate_python(value)


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    shapes = set(map(_shape, value))
    if len(shapes) > 1:
        _refuse("its lists differ in length")
    return (len(value), *next(iter(shapes), ()))


def _refuse(reason: str) -> None:
    raise PydanticCustomError("array", "an array cannot hold this: {reason}", {"reason": reason})
