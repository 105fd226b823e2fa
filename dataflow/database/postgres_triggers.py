"""PostgreSQL's triggers: audit per statement through transition tables, and refusal.

Chains have partitions, so that transactions at the same time never wait for each
other: a transaction writes to the first partition whose advisory lock is free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from dataflow.database.guard import Guard, trigger_name
from dataflow.database.postgres_batches import PART_FUNCTION, PARTS, Batch, Side, size_sql
from dataflow.database.postgres_keys import key_sql
from dataflow.database.postgres_words import DIALECT, quote, text_literal
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG, HASHED

__all__ = ["RECORDED", "REFUSED", "support_statements", "table_triggers"]

REFUSED = "DF211"
"""The SQLSTATE with which a trigger refuses to change an append-only record."""


_SETTINGS = "SET timezone = 'UTC' SET datestyle = 'ISO' SET work_mem = '64MB' SET jit = off"
"""Values have one form whoever writes; the lists of many records stay in memory; compiling
takes longer than most statements."""
_APART = 32
"""Partitions of read committed transactions; behind them, each backend has one of its own for
transactions with one snapshot, which must not look at a head that others have moved since."""
_BACKENDS = 1_024
"""How many partitions further a transaction tries again."""
_TRIES = 3
"""How often it tries, before the error is taken for the transaction's own."""
RECORDED = (
    "chain", "action", "model", "table_name", "record_key", "actor", "tenant",
    "correlation_id", "details", "ip_address", "user_agent",
)  # fmt: skip
"""Columns of an entry that is recorded by a call."""
_FAST_COMPRESSION = """DO $dataflow$
BEGIN
  IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{log}'::regclass
      AND attname IN ('before', 'after') AND attcompression <> 'l') THEN
    ALTER TABLE {log} ALTER before SET COMPRESSION lz4, ALTER after SET COMPRESSION lz4,
      ALTER before SET STORAGE EXTENDED, ALTER after SET STORAGE EXTENDED;
  END IF;
EXCEPTION WHEN feature_not_supported OR undefined_column OR syntax_error THEN
  ALTER TABLE {log} ALTER before SET STORAGE EXTERNAL, ALTER after SET STORAGE EXTERNAL;
END$dataflow$"""
"""The default takes a third of the time that many records take to be written: a server
without lz4 compresses nothing."""
_MOVED = (
    "ON CONFLICT (chain, partition) "
    "DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash"
)
"""Ends an INSERT of a head that may be there. An UPDATE would read it first, and what a
serializable transaction reads, page of the index and all, makes it conflict with others."""
_MOMENT = "to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00:00\"')"

_FUNCTIONS = {
    **PART_FUNCTION,
    # What is not a text itself joins one as STABLE only: never inlined, and parsed at each call.
    "part(value text) RETURNS text LANGUAGE sql IMMUTABLE": """
  SELECT coalesce(octet_length(value)::text || ':' || value, '-')""",
    # The state is the hash before and the hash itself, so that one pass yields both.
    "link(state bytea, head bytea, entry text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE": """
BEGIN
  RETURN substr(coalesce(state, head), 33)
    || sha256(substr(coalesce(state, head), 33) || convert_to(entry, 'UTF8'));
END""",
    # Writes, because who reads conflicts; an old snapshot may not see the head: an error then.
    "own_head(wanted text, part integer, tries integer, OUT sequence bigint, OUT hash bytea) "
    "LANGUAGE plpgsql": """
BEGIN
  INSERT INTO {s}.dataflow_audit_heads AS h
    VALUES (wanted, part, 0, sha256(convert_to(wanted || '/' || part, 'UTF8')))
    ON CONFLICT (chain, partition) DO UPDATE SET sequence = h.sequence
    RETURNING h.sequence, h.hash INTO sequence, hash;
EXCEPTION WHEN serialization_failure THEN
  IF tries >= {tries} THEN RAISE; END IF;
END""",
    "head(wanted text, OUT part integer, OUT sequence bigint, OUT hash bytea) LANGUAGE plpgsql": """
DECLARE
  lock integer := hashtext('dataflow audit ' || wanted);
  careful boolean := current_setting('transaction_isolation') <> 'read committed';
  home integer := nullif(current_setting('dataflow.home', true), '');
  tries integer := 0;
BEGIN
  IF careful AND home IS NULL THEN
    SELECT split_part(virtualtransaction, '/', 1) INTO home FROM pg_locks
      WHERE pid = pg_backend_pid() LIMIT 1;
    PERFORM set_config('dataflow.home', home::text, false);
  END IF;
  LOOP
    part := CASE WHEN careful THEN {apart} + home + tries * {backends} ELSE tries END;
    IF pg_try_advisory_xact_lock(lock, part) THEN
      IF careful THEN
        SELECT h.sequence, h.hash INTO sequence, hash
          FROM {s}.dataflow_audit_own_head(wanted, part, tries + 1) AS h;
        IF sequence IS NOT NULL THEN RETURN; END IF;
      ELSE
        SELECT h.sequence, h.hash INTO sequence, hash FROM {s}.dataflow_audit_heads AS h
          WHERE h.chain = wanted AND h.partition = part;
        IF NOT FOUND THEN
          sequence := 0;
          hash := sha256(convert_to(wanted || '/' || part, 'UTF8'));
          INSERT INTO {s}.dataflow_audit_heads VALUES (wanted, part, sequence, hash);
        END IF;
        RETURN;
      END IF;
    END IF;
    tries := tries + 1;
  END LOOP;
END""",
    f"record({', '.join(f'{name} text' for name in RECORDED)}) RETURNS void LANGUAGE plpgsql": """
#variable_conflict use_column
DECLARE
  moment timestamptz := clock_timestamp();
  head record;
  digest bytea;
BEGIN
  SELECT * INTO head FROM {s}.dataflow_audit_head(record.chain);
  digest := sha256(head.hash || convert_to(concat({parts}), 'UTF8'));
  INSERT INTO {s}.dataflow_audit_log (partition, sequence, at, previous, hash, {names})
    VALUES (head.part, head.sequence + 1, moment, head.hash, digest, {values});
  INSERT INTO {s}.dataflow_audit_heads
    VALUES (record.chain, head.part, head.sequence + 1, digest) {moved};
END""",
    "refuse() RETURNS trigger LANGUAGE plpgsql": """
BEGIN
  RAISE EXCEPTION USING ERRCODE = '{refused}', TABLE = TG_TABLE_NAME,
    MESSAGE = format('model %s is append-only: %s is refused', TG_ARGV[0], TG_OP);
END""",
}


def support_statements(schema: str) -> dict[str, str]:
    """Return `{signature: statement}` of the functions that all triggers share."""
    s = quote(schema)
    given = dict.fromkeys(HASHED, "NULL")
    given |= {"partition": "head.part::text", "at": _MOMENT}
    values = [f"dataflow_audit_record.{name}" for name in RECORDED]
    given |= dict(zip(RECORDED, values, strict=True))
    words = {
        "parts": ", ".join(f"{s}.dataflow_audit_part({given[name]})" for name in HASHED),
        "names": ", ".join(RECORDED),
        "values": ", ".join(values),
        "s": s,
        "refused": REFUSED,
        "apart": str(_APART),
        "backends": str(_BACKENDS),
        "tries": str(_TRIES),
        "moved": _MOVED,
    }
    found = {}
    for head, body in _FUNCTIONS.items():
        text = body.replace("record.chain", "dataflow_audit_record.chain")
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", value)
        found[head.partition("(")[0]] = (
            f"CREATE OR REPLACE FUNCTION {s}.dataflow_audit_{head} AS $dataflow${text}$dataflow$"
        )
    found["chain"] = (
        f"CREATE OR REPLACE AGGREGATE {s}.dataflow_audit_chain(bytea, text) "
        f"(SFUNC = {s}.dataflow_audit_link, STYPE = bytea)"
    )
    found["compression"] = _FAST_COMPRESSION.replace("{log}", f"{s}.{AUDIT_LOG.name}")
    return found


def _shared_digest(schema: str) -> str:
    """Return what makes triggers anew when the functions that they share have changed."""
    text = "".join(support_statements(schema).values())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def table_triggers(guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
    """Return `{trigger: statements that create it}` for a table.

    Args:
        guard: What the triggers do.
        schema: Where the audit log and the functions are.
    """
    return {**_refusing(guard, schema), **(_auditing(guard, schema) if guard.audited else {})}


def _refusing(guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
    if not guard.refused:
        return {}
    table = DIALECT.identifier_preparer.format_table(guard.table)
    call = f"EXECUTE FUNCTION {quote(schema)}.dataflow_audit_refuse({text_literal(guard.model)})"
    events = {
        "rows": f"BEFORE {' OR '.join(guard.refused)} ON {table} FOR EACH ROW",
        "all": f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
    }
    found: dict[str, tuple[str, ...]] = {}
    for event, place in events.items():
        name = trigger_name(f"{place} {call}", f"refuse_{event}")
        found[name] = (f"CREATE TRIGGER {name} {place} {call}",)
    return found


_EVENTS = {
    "create": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
    "truncate": "BEFORE TRUNCATE ON {table}",
}


def _auditing(guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
    table = DIALECT.identifier_preparer.format_table(guard.table)
    body = _Body(guard, schema).text()
    base = trigger_name(f"{_SETTINGS}{body}", "audit")
    function = f"{quote(schema)}.{base}"
    create = (
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
        f"{_SETTINGS} AS $dataflow${body}$dataflow$"
    )
    found: dict[str, tuple[str, ...]] = {}
    for event, place in _EVENTS.items():
        name = f"{base}_{event}"
        trigger = (
            f"CREATE TRIGGER {name} {place.format(table=table)} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
        found[name] = (create, trigger)
    return found


OLD, NEW, SHOWN = "dataflow_old", "dataflow_new", "dataflow_shown"
"""Names of rows; a column of the same name would be taken for the row."""


class _Body:
    """Writes the function that audits one table."""

    def __init__(self, guard: Guard, schema: str) -> None:
        self._guard = guard
        self._bare_schema = schema
        self._schema = quote(schema)
        self._batch = Batch(guard)

    def text(self) -> str:
        branches = {
            "INSERT": self._branch(None, "new_rows"),
            "UPDATE": self._branch("old_rows", "new_rows"),
            "DELETE": self._branch("old_rows", None),
            "TRUNCATE": self._branch(self._table, None),
        }
        words = "".join(
            f"  {'ELSIF' if number else 'IF'} TG_OP = '{event}' THEN\n{branch}"
            for number, (event, branch) in enumerate(branches.items())
        )
        return (
            "\nDECLARE\n  head record;\n  frame text;\n  moment timestamptz := clock_timestamp();\n"
            f"  {PARTS} integer;\n"
            "  who text := nullif(current_setting('dataflow.actor', true), '');\n"
            "  what text := nullif(current_setting('dataflow.correlation_id', true), '');\n"
            f"BEGIN  -- {_shared_digest(self._bare_schema)}\n{words}  END IF;\n  RETURN NULL;\nEND"
        )

    @property
    def _table(self) -> str:
        table, schema = self._guard.table, self._guard.table.schema
        name = quote(str(table.name))
        return f"{quote(schema) if schema else self._schema}.{name}"

    def _branch(self, old: str | None, new: str | None) -> str:
        """Return the loop over chains that writes the entries of one kind of event.

        Args:
            old: Where the rows before the change are.
            new: Where those after it are.
        """
        sides = {row: rows for row, rows in {OLD: old, NEW: new}.items() if rows is not None}
        found = {
            row: Side(row, rows, self._key(row), self._own(row)) for row, rows in sides.items()
        }
        if len(found) > 1:
            many = self._batch.updated(found[OLD], found[NEW])
        elif NEW in found:
            many = self._batch.created(found[NEW])
        else:
            many = self._batch.deleted(found[OLD])
        tenant = "nullif(head.chain, '')" if self._guard.tenant is not None else "NULL"
        each = (
            "SELECT *, NULL::bigint AS records, NULL::text AS first_key, NULL::text AS last_key "
            f"FROM ({self._changes(sides)}) AS single"
        )
        return f"""    FOR head IN {self._chains(sides)} LOOP
      frame := {self._frame(tenant)};
      {PARTS} := {self._schema}.dataflow_audit_parts(head.total, head.bytes);
      IF {PARTS} = 0 THEN
{self._write(each, tenant)}      ELSE
{self._write(many, tenant)}      END IF;
    END LOOP;
"""

    def _write(self, changes: str, tenant: str) -> str:
        """Return the statement that adds entries to a chain and moves its head."""
        s = self._schema
        return f"""      WITH entries AS (
        SELECT head.sequence + row_number() OVER w AS sequence, action, key, before, after,
          records, first_key, last_key,
          {s}.dataflow_audit_chain(head.state, {self._text()}) OVER w AS link
        FROM ({changes}) AS changes
        WINDOW w AS (ROWS UNBOUNDED PRECEDING)
      ), written AS (
        INSERT INTO {s}.{AUDIT_LOG.name} (chain, partition, sequence, at, action, model,
          table_name, record_key, actor, tenant, correlation_id, before, after, records,
          first_key, last_key, previous, hash)
        SELECT head.chain, head.part, sequence, moment, action, {text_literal(self._guard.model)},
          {text_literal(self._name)}, key, who, {tenant}, what, before, after, records,
          first_key, last_key, substr(link, 1, 32), substr(link, 33) FROM entries
        RETURNING sequence, hash
      )
      INSERT INTO {s}.{AUDIT_HEADS.name}
        SELECT head.chain, head.part, sequence, hash FROM written ORDER BY sequence DESC LIMIT 1
        {_MOVED};
"""

    def _changes(self, sides: Mapping[str, str]) -> str:
        """Return the query for a chain's changes, each with its record before and after."""
        if len(sides) == 1:
            ((row, rows),) = sides.items()
            action = {NEW: "'create'", OLD: "'delete'"}[row]
            source, key, chain = f"{rows} AS {row}", self._key(row), self._own(row)
        else:
            names = [quote(column.name) for column in self._guard.key]
            match = " AND ".join(f"{OLD}.{name} = {NEW}.{name}" for name in names)
            source = f"{sides[OLD]} AS {OLD} FULL JOIN {sides[NEW]} AS {NEW} ON {match}"
            key = (  # of no row, a composite key is a list of nulls
                f"CASE WHEN {NEW}.{names[0]} IS NULL THEN {self._key(OLD)} "
                f"ELSE {self._key(NEW)} END"
            )
            action = (
                f"CASE WHEN {OLD}.{names[0]} IS NULL THEN 'create' "
                f"WHEN {NEW}.{names[0]} IS NULL THEN 'delete' ELSE 'update' END"
            )
            chain = self._own(OLD, NEW)
        before, after = (
            self._row(row, joined=len(sides) > 1) if row in sides else "NULL::text"
            for row in (OLD, NEW)
        )
        return (
            f"SELECT {action} AS action, {key} AS key, {before} AS before, {after} AS after "
            f"FROM {source}{chain}"
        )

    @property
    def _name(self) -> str:
        return str(self._guard.table.fullname)

    def _chain(self, *rows: str) -> str:
        """Return the expression of the chain that a row belongs to."""
        if self._guard.tenant is None:
            return "''"
        values = ", ".join(f"{row}.{quote(self._guard.tenant.name)}::text" for row in rows)
        return f"coalesce({values}, '')"

    def _own(self, *rows: str) -> str:
        """Return the condition of the rows that belong to the chain at hand."""
        return "" if self._guard.tenant is None else f" WHERE {self._chain(*rows)} = head.chain"

    def _chains(self, sides: Mapping[str, str]) -> str:
        """Return the query for chains with their heads, and for all rows' number and size."""
        s = self._schema
        columns = "c.chain, c.total, c.bytes, h.*, '\\x'::bytea || sha256('') || h.hash AS state"
        if self._guard.tenant is None:
            row, rows = list(sides.items())[-1]
            found = (
                "SELECT ''::text AS chain, count(*) AS total, "
                f"sum({size_sql(row, self._guard)}) AS bytes "
                f"FROM {rows} AS {row} HAVING count(*) > 0"
            )
        else:
            each = " UNION ALL ".join(
                f"SELECT {self._chain(row)} AS chain, {size_sql(row, self._guard)} AS bytes "
                f"FROM {rows} AS {row}"
                for row, rows in sides.items()
            )
            found = (
                "SELECT chain, (sum(count(*)) OVER ())::bigint AS total, "
                "(sum(sum(bytes)) OVER ())::bigint AS bytes "
                f"FROM ({each}) AS changed GROUP BY chain"
            )
        return (
            f"SELECT {columns} FROM ({found}) AS c, LATERAL {s}.dataflow_audit_head(c.chain) AS h"
        )

    def _frame(self, tenant: str) -> str:
        part = f"{self._schema}.dataflow_audit_part"
        values = (
            "head.chain", "head.part::text", _MOMENT, text_literal(self._guard.model),
            text_literal(self._name), "who", tenant, "what",
        )  # fmt: skip
        return " || ".join(f"{part}({value})" for value in values)

    def _text(self) -> str:
        """Return the expression of an entry's text; each || copies what stands left of it."""
        names = ("action", "key", "before", "after", "records::text", "first_key", "last_key")
        action, key, before, after, *more = map(_framed, names)
        rest = " || ".join(["'---'", *more])
        return f"(frame || {action} || {key} || {before}) || ({after} || ({rest}))"

    def _key(self, row: str) -> str:
        return key_sql(row, self._guard.key)

    def _row(self, row: str, *, joined: bool) -> str:
        """Return a row as JSON; masked columns are not even read."""
        masked = self._guard.masked
        value = row
        if masked:
            columns = ", ".join(
                f"{text_literal('***') if c.name in masked else f'{row}.{quote(c.name)}'} "
                f"AS {quote(c.name)}"
                for c in self._guard.columns
            )
            value = f"(SELECT {SHOWN} FROM (SELECT {columns}) AS {SHOWN})"
        json = f"row_to_json({value})::text"
        if not joined:
            return json
        return f"CASE WHEN {row}.{quote(self._guard.key[0].name)} IS NOT NULL THEN {json} END"


def _framed(name: str) -> str:
    """Return the expression of a text after its length, or a dash for NULL."""
    return f"coalesce(octet_length({name}) || ':' || {name}, '-')"
