"""SQLite's triggers: audit per row, and refusal.

There is one writer, so each chain has one partition. The hash is a Python function of
our connections: a program that does not have it cannot change audited records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import aiosqlite

from dataflow.database.guard import Guard, trigger_name
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG, HASHED
from dataflow.models.columntypes import ExactDecimal, ExactFloat, is_bytes
from dataflow.models.hashchain import genesis, link_hash

__all__ = [
    "AUDITING",
    "AUDIT_FUNCTIONS",
    "DIALECT",
    "REFUSED",
    "ROWIDS",
    "key_of",
    "quoted",
    "table_triggers",
    "value_of",
]

REFUSED = "append-only: "
"""How the message of a trigger begins that refuses a change."""

AUDITING = "dataflow_auditing"
"""The function that triggers ask whether they write; NULL where a bulk call does it itself."""
DIALECT: sa.Dialect = aiosqlite.dialect()
_MOST = 50
"""Columns of one call: SQLite's functions take 127 arguments."""

AUDIT_FUNCTIONS: dict[str, tuple[int, Any]] = {
    "dataflow_audit_hash": (-1, lambda previous, *texts: link_hash(previous, texts)),
    "dataflow_audit_genesis": (2, genesis),
    "dataflow_audit_float": (1, lambda value: None if value is None else repr(value)),
}
ROWIDS = ("rowid", "_rowid_", "oid")
"""Names of a row's number; a column of the same name hides it."""
_MOMENT = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00'"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


quoted = DIALECT.identifier_preparer.quote_identifier


def table_triggers(guard: Guard) -> dict[str, tuple[str, ...]]:
    """Return `{trigger: statements that create it}` for a table."""
    found: dict[str, tuple[str, ...]] = {}
    table = quoted(guard.table.name)
    for event in guard.refused:
        message = _text(f"{REFUSED}{guard.model}: {event}")
        rest = f"BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, {message}); END"
        name = trigger_name(rest, f"refuse_{event.lower()}")
        found[name] = (f"CREATE TRIGGER {name} {rest}",)
    if guard.audited:
        for kind, event, body in _audits(guard):
            rest = f"{event} BEGIN\n{body}END"
            name = trigger_name(rest, f"audit_{kind}")
            found[name] = (f"CREATE TRIGGER {name} {rest}",)
    return found


def _audits(guard: Guard) -> Iterator[tuple[str, str, str]]:
    """Yield kind, event and body of the triggers; a new key makes another record."""
    table = quoted(guard.table.name)
    same = " AND ".join(f"NEW.{quoted(c.name)} IS OLD.{quoted(c.name)}" for c in guard.key)
    gone, new = _entry(guard, "delete", "OLD"), _entry(guard, "create", "NEW")
    here = f"{AUDITING}()"
    changed = _entry(guard, "update", "NEW")
    yield "insert", f"AFTER INSERT ON {table} WHEN {here}", new
    yield "delete", f"AFTER DELETE ON {table} WHEN {here}", gone
    yield "update", f"AFTER UPDATE ON {table} WHEN {same} AND {here}", changed
    keys = ", ".join((*(quoted(c.name) for c in guard.key), *ROWIDS))  # spares other updates much
    yield "rekey", f"AFTER UPDATE OF {keys} ON {table} WHEN NOT ({same}) AND {here}", gone + new


def _entry(guard: Guard, action: str, row: str) -> str:
    """Return the statements that write one entry and move its chain's head.

    None of them can meet a conflict: INSERT OR IGNORE would silence it.
    """
    log, heads = AUDIT_LOG.name, AUDIT_HEADS.name
    chain, tenant = "''", "NULL"
    if guard.tenant is not None:
        of = [
            f"CAST({side}.{quoted(guard.tenant.name)} AS TEXT)"
            for side in (("OLD", "NEW") if action == "update" else (row,))
        ]
        tenant = f"coalesce({', '.join(of)})" if len(of) > 1 else of[0]
        chain = f"coalesce({', '.join(of)}, '')"
    values = dict.fromkeys(HASHED, "NULL") | {
        "chain": chain, "partition": "0", "at": _MOMENT, "model": _text(guard.model),
        "table_name": _text(str(guard.table.fullname)), "actor": "dataflow_actor()",
        "tenant": tenant, "correlation_id": "dataflow_correlation_id()",
        "action": _text(action), "record_key": key_of(guard, row),
        "before": "NULL" if action == "create" else _row(guard, "OLD"),
        "after": "NULL" if action == "delete" else _row(guard, "NEW"),
    }  # fmt: skip
    names = ", ".join(f'"{name}"' for name in HASHED)
    found = ", ".join(f'{values[name]} AS "{name}"' for name in HASHED)
    texts = ", ".join(f'v."{name}"' for name in HASHED)
    here = f"chain = {chain} AND partition = 0"
    # The limit keeps SQLite from working out each value where it stands, twice.
    return f"""  INSERT INTO {heads} (chain, partition, sequence, hash)
    SELECT {chain}, 0, 0, dataflow_audit_genesis({chain}, 0)
    WHERE NOT EXISTS (SELECT 1 FROM {heads} WHERE {here});
  INSERT INTO {log} ({names}, sequence, previous, hash)
    SELECT {texts}, h.sequence + 1, h.hash, dataflow_audit_hash(h.hash, {texts})
    FROM (SELECT {found} LIMIT 1) AS v JOIN {heads} AS h
      ON h.chain = v.chain AND h.partition = v.partition;
  UPDATE {heads} SET sequence = sequence + 1, hash = (SELECT hash FROM {log} AS l
      WHERE l.chain = {heads}.chain AND l.partition = 0 AND l.sequence = {heads}.sequence + 1)
    WHERE {here};
"""


def value_of(column: sa.Column[Any], row: str) -> str:
    """Return a column's value as JSON takes it."""
    value = f"{row}.{quoted(column.name)}"
    if isinstance(column.type, ExactFloat | sa.Float):  # SQLite's JSON keeps 15 digits
        return f"dataflow_audit_float({value})"
    return (
        f"iif({value} IS NULL, NULL, lower(hex({value})))"
        if is_bytes(column.type, DIALECT)
        else value
    )


def key_of(guard: Guard, row: str) -> str:
    """Return a row's key as text; Decimals that are equal have the same."""
    texts = [_key_part(column, row) for column in guard.key]
    return texts[0] if len(texts) == 1 else f"json_array({', '.join(texts)})"


def _key_part(column: sa.Column[Any], row: str) -> str:
    text = f"CAST({value_of(column, row)} AS TEXT)"
    if not isinstance(column.type, ExactDecimal):
        return text
    return f"iif(instr({text}, '.'), rtrim(rtrim({text}, '0'), '.'), {text})"


def _row(guard: Guard, row: str) -> str:
    """Return a row as JSON, without the values of masked columns."""
    pairs = [
        (str(column.name), "'***'" if column.name in guard.masked else value_of(column, row))
        for column in guard.columns
    ]
    first, rest = pairs[:_MOST], pairs[_MOST:]
    found = f"json_object({', '.join(f'{_text(name)}, {value}' for name, value in first)})"
    while rest:
        paths = [f"""'$."{name}"', {value}""" for name, value in rest[:_MOST]]
        found, rest = f"json_insert({found}, {', '.join(paths)})", rest[_MOST:]
    return found
