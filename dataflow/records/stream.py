"""Input of bulk verbs: lists, iterables, asynchronous iterables and Arrow streams."""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from dataflow.errors import MissingExtraError, ParameterError

__all__ = ["async_batches", "batches", "sync_batches"]


def sync_batches(data: Any, size: int) -> Iterator[list[Any]]:
    """Yield the records of a list, iterable or Arrow stream in lists of at most `size`.

    Raises:
        ParameterError: If it is not an iterable of dictionaries.
        MissingExtraError: For an Arrow stream without pyarrow.
    """
    iterator = iter(_rows(data, size))
    while batch := list(islice(iterator, size)):
        yield batch


async def async_batches(rows: AsyncIterable[Any], size: int) -> AsyncIterator[list[Any]]:
    """Yield the records of an asynchronous iterable in lists of at most `size`."""
    batch: list[Any] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def batches(data: Any, size: int) -> AsyncIterator[list[Any]]:
    """Yield the records of any input in lists of at most `size`, never holding more."""
    if isinstance(data, AsyncIterable):
        async for batch in async_batches(data, size):
            yield batch
        return
    for batch in sync_batches(data, size):
        yield batch


def _rows(data: Any, size: int) -> Iterable[Any]:
    if hasattr(data, "__arrow_c_stream__"):
        return _arrow_rows(data, size)
    if isinstance(data, Mapping | str | bytes) or not isinstance(data, Iterable):
        raise ParameterError(
            problem=f"data must be a list or another iterable of dicts, not {type(data).__name__}."
        )
    return data


def _arrow_rows(data: Any, size: int) -> Iterator[Any]:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(feature="reading an Arrow stream", extra="arrow")
    arrow: Any = importlib.import_module("pyarrow")
    reader = arrow.RecordBatchReader.from_stream(data)
    twins = [name for name, number in Counter(reader.schema.names).items() if number > 1]
    if twins:
        raise ParameterError(problem=f"data has {twins[0]!r} as the name of several columns.")
    for chunk in reader:
        exact = _in_microseconds(arrow, chunk)
        for start in range(0, exact.num_rows, size):
            yield from exact.slice(start, size).to_pylist()


def _in_microseconds(arrow: Any, chunk: Any) -> Any:
    """Return a chunk whose moments are as fine as ours: Python would cut what is finer."""
    for place, field in enumerate(chunk.schema):
        if getattr(field.type, "unit", None) != "ns":
            continue
        zone = {"tz": field.type.tz} if arrow.types.is_timestamp(field.type) else {}
        make = {"timestamp": arrow.timestamp, "time64": arrow.time64, "duration": arrow.duration}
        coarse = make[str(field.type).partition("[")[0]]("us", **zone)
        try:
            column = chunk.column(place).cast(coarse)
        except arrow.ArrowInvalid:
            raise ParameterError(
                problem=f"column {field.name!r} has nanoseconds, which records do not keep.",
                advise="round them to microseconds",
            ) from None
        chunk = chunk.set_column(place, field.name, column)
    return chunk
