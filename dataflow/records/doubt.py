"""Writes whose reply was lost: made again where that can do no harm.

The connection broke after the statement was sent, so nobody knows whether it was
carried out. A second time is harmless where both leave what one leaves:

- an update by key, whose new values are given; of a versioned record only with the
  version that it expects, as each update counts;
- a delete by key;
- a create with a given key, which cannot be carried out twice.

All else, and everything inside a transaction, is left to the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dataflow.database.again import pauses
from dataflow.database.database import Database
from dataflow.errors import ConnectionLostError, DataFlowError, UniqueViolationError
from dataflow.models.spec import ModelSpec
from dataflow.query.filters import Filter

__all__ = ["Doubt"]

Record = dict[str, Any]
Write = Callable[[], Awaitable[Record | None]]
Read = Callable[[Filter], Awaitable[Record | None]]


class Doubt:
    """Settles what became of one model's writes.

    Every method takes the error with which a write ended, and raises it where the
    write must not be made again.
    """

    def __init__(self, database: Database, spec: ModelSpec, read: Read) -> None:
        """Keep where to write, and how to look what was written."""
        self._database = database
        self._spec = spec
        self._read = read

    async def created(
        self, error: ConnectionLostError, write: Write, values: Mapping[str, Any], record: Record
    ) -> Record | None:
        """Create a record again, and return it or the one that the first write left.

        That one is known by the instant of its creation. A record without it could
        as well be somebody else's.
        """
        key = self._spec.key
        self._insist(error, all(name in record for name in key))
        try:
            return await self._again(error, write)
        except UniqueViolationError:
            shape = [("$eq", name) for name in key]
            where = Filter(
                shape[0] if len(shape) == 1 else ("and", *shape),
                tuple(record[name] for name in key),
            )
            found = await self._read(where)
            stamp = None if "created_at" in values else record.get("created_at")
            if found is None or stamp is None or found["created_at"] != stamp:
                raise error from None
            return found

    async def updated(
        self,
        error: ConnectionLostError,
        write: Write,
        where: Filter,
        expected: tuple[int | None, Record],
    ) -> Record | None:
        """Update a record again, and return it as it is then.

        Args:
            error: With which the first write ended.
            write: Makes it again.
            where: Its criteria.
            expected: The version that it expected, and the values that it set.
        """
        version, values = expected
        counted = self._spec.options.versioned
        self._insist(error, self._is_keyed(where) and (version is not None or not counted))
        record = await self._again(error, write)
        if record is not None or version is None:
            return record
        found = await self._read(where)
        if found is None or found["version"] != version + 1 or not _holds(found, values):
            raise error
        return found

    async def deleted(self, error: ConnectionLostError, write: Write, where: Filter) -> Record:
        """Delete a record again, and return its key.

        If it is gone, the first write is taken to have deleted it.
        """
        self._insist(error, self._is_keyed(where))
        record = await self._again(error, write)
        return record or dict(zip(_names(where) or (), where.values, strict=True))

    def _insist(self, error: ConnectionLostError, harmless: bool) -> None:  # noqa: FBT001 - as in assert
        if not harmless or error.outcome != "unknown" or self._database.current() is not None:
            raise error

    def _is_keyed(self, where: Filter) -> bool:
        return sorted(_names(where) or ()) == sorted(self._spec.key)

    async def _again(self, error: ConnectionLostError, write: Write) -> Record | None:
        for pause_s in pauses(self._database.config):
            await asyncio.sleep(pause_s)
            try:
                return await write()
            except ConnectionLostError as found:
                error = found
            except DataFlowError as found:
                found.outcome = "unknown"  # of the first write
                raise
        error.outcome = "unknown"
        raise error


def _names(where: Filter) -> list[str] | None:
    """Return the fields that must equal the filter's values, in order; None: there is more."""
    shape = where.shape
    terms = shape[1:] if shape and shape[0] == "and" else (shape,)
    if any(len(term) != 2 or term[0] != "$eq" for term in terms):
        return None
    return [str(term[1]) for term in terms]


def _holds(found: Record, values: Record) -> bool:
    return all(found[name] == value for name, value in values.items())
