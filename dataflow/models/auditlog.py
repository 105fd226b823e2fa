"""The tables of the audit log: its entries, and the head of each chain.

An entry's hash covers all columns: chain and partition through the texts, the sequence
through the links, which leave no place for another number.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dataflow.models.columntypes import BIGINT, UtcDateTime, utc_of

__all__ = ["AUDIT_HEADS", "AUDIT_LOG", "HASHED", "entry_texts", "key_order", "prepare_for"]

_METADATA = sa.MetaData()
_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

AUDIT_LOG = sa.Table(
    "dataflow_audit_log",
    _METADATA,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("sequence", BIGINT, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime(), nullable=False),
    sa.Column("action", sa.Text(), nullable=False),
    sa.Column("model", sa.Text(), nullable=True),
    sa.Column("table_name", sa.Text(), nullable=True),
    sa.Column("record_key", sa.Text(), nullable=True),
    sa.Column("actor", sa.Text(), nullable=True),
    sa.Column("tenant", sa.Text(), nullable=True),
    sa.Column("correlation_id", sa.Text(), nullable=True),
    sa.Column("before", sa.Text(), nullable=True),
    sa.Column("after", sa.Text(), nullable=True),
    sa.Column("details", sa.Text(), nullable=True),
    sa.Column("ip_address", sa.Text(), nullable=True),
    sa.Column("user_agent", sa.Text(), nullable=True),
    sa.Column("records", BIGINT, nullable=True),
    sa.Column("first_key", _SORTED, nullable=True),
    sa.Column("last_key", _SORTED, nullable=True),
    sa.Column("previous", sa.LargeBinary(), nullable=False),
    sa.Column("hash", sa.LargeBinary(), nullable=False),
)
"""One change, or the changes of one statement to many records: then `records` says how
many, their keys are from `first_key` to `last_key` (see `key_order`), and `before` and
`after` are lists of values (see `dataflow.records.auditbatch`).

Newest entries are found through the key, so that no index on `at` is needed.
"""

for _name, _columns in {
    "record": ("model", "record_key"),
    "actor": ("actor", "at"),
    "correlation": ("correlation_id",),
    "batch": ("last_key", "model"),
}.items():
    sa.Index(f"ix_dataflow_audit_log_{_name}", *(AUDIT_LOG.c[column] for column in _columns))

AUDIT_HEADS = sa.Table(
    "dataflow_audit_heads",
    _METADATA,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("sequence", BIGINT, nullable=False),
    sa.Column("hash", sa.LargeBinary(), nullable=False),
)

HASHED = (
    "chain", "partition", "at", "model", "table_name", "actor", "tenant", "correlation_id",
    "action", "record_key", "before", "after", "details", "ip_address", "user_agent",
    "records", "first_key", "last_key",
)  # fmt: skip
"""Columns in the order in which the hash covers them."""


def prepare_for(dialect: str) -> None:
    """Give the tables the options that only one database understands.

    SQLAlchemy loads a dialect to look at its options, so none is named before it is used.
    """
    for index in AUDIT_LOG.indexes:
        first, *_ = index.columns
        index.dialect_kwargs[f"{dialect}_where"] = first.is_not(None)
    if dialect == "postgresql":
        # Room in each page keeps the head's place in the index when it changes.
        AUDIT_HEADS.dialect_kwargs["postgresql_with"] = {"fillfactor": 10}


def entry_texts(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the texts of an entry that its hash covers; instants in UTC."""
    texts = (values.get(name) for name in HASHED)
    return tuple(
        utc_of(text).isoformat(" ", "microseconds") if isinstance(text, dt.datetime) else text
        for text in texts
    )


def key_order(key: str, *, whole: bool) -> str:
    """Return a text that sorts, byte by byte, as the keys of one model do.

    Args:
        key: A key as the log writes it.
        whole: Whether the model's keys are single whole numbers of 64 bits.
    """
    return f"{int(key) + (1 << 63):020d}" if whole else key
