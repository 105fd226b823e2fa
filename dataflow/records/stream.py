"""Input of bulk verbs: lists, iterables, asynchronous iterables and Arrow streams."""

from __future__ import annotations

import importlib
import importlib.util
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
    for chunk in arrow.RecordBatchReader.from_stream(data):
        for start in range(0, chunk.num_rows, size):
            yield from chunk.slice(start, size).to_pylist()
