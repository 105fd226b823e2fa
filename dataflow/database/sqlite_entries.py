"""Entries of SQLite's audit log that no trigger writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG, HASHED
from dataflow.models.hashchain import genesis, link_hash

__all__ = ["add_entry"]

_HEAD = f"SELECT sequence, hash FROM {AUDIT_HEADS.name} WHERE chain = ? AND partition = 0"
_BEGIN = f"INSERT INTO {AUDIT_HEADS.name} (sequence, hash, chain, partition) VALUES (?, ?, ?, 0)"
_MOVE = f"UPDATE {AUDIT_HEADS.name} SET sequence = ?, hash = ? WHERE chain = ? AND partition = 0"
_COLUMNS = (*HASHED, "sequence", "previous", "hash")
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_WRITE = f"INSERT INTO {AUDIT_LOG.name} ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def add_entry(connection: Any, values: Mapping[str, Any]) -> None:
    """Add an entry to its chain, in the transaction of the one writer there is.

    Args:
        connection: The writer's, in its thread.
        values: The entry's, by column, without its place in the chain and its time.
    """
    chain = values["chain"]
    moment = dt.datetime.now(dt.UTC)
    moment -= dt.timedelta(microseconds=moment.microsecond % 1_000)  # triggers know no more
    given = {**values, "partition": "0", "at": moment.isoformat(" ", "microseconds")}
    texts = [given.get(name) for name in HASHED]
    head = connection.execute(_HEAD, (chain,)).fetchone()
    sequence, previous = head or (0, genesis(chain, 0))
    digest = link_hash(previous, texts)
    connection.execute(_WRITE, (*texts, sequence + 1, previous, digest))
    connection.execute(_MOVE if head else _BEGIN, (sequence + 1, digest, chain))
