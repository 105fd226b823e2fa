"""Migrations that change records of audited models are in the log like all other changes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow, Field
from dataflow.errors import StoredValueError


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("options", [{"audit": True}, {"audit": True, "append_only": True}])
@pytest.mark.parametrize("way", ["apply", "files"])
def test_a_value_that_a_required_field_gives_to_records_is_told(
    url: str, tmp_path: Path, options: dict[str, Any], way: str, *, more: bool
):
    with DataFlow(url) as before:

        @before.model(**options)
        class Thing:
            code: str | None = None

        before.bulk_create("Thing", [{}, {"code": "c"}])
    db = DataFlow(url, auto_migrate=False, migrations_path=str(tmp_path / "files"))

    @db.model(**options)  # type: ignore[no-redef]  # its next version
    class Thing:
        code: str = "none"

        if more:
            added: int = 7

    if way == "apply":
        db.migrations.apply()
    else:
        db.migrations.revision("Required")
        db.migrations.upgrade()
    db.migrations.check()
    assert [thing["code"] for thing in db.list("Thing", sort="id")["records"]] == ["none", "c"]
    assert [entry.action for entry in db.audit.get_by_entity("Thing", 1)] == ["update", "create"]
    assert len(db.audit.get_by_entity("Thing", 2)) == 1
    assert db.audit.verify_records("Thing").ok
    assert db.audit.verify().ok
    db.close()


def keyed(db: DataFlow, keys: dict[str, type], fields: dict[str, type]) -> None:
    body: dict[str, Any] = {name: Field(primary_key=True) for name in keys}
    declared = {"__annotations__": {**keys, **fields}, **body}
    db.model(timestamps=False, audit=True)(type("Thing", (), declared))


@pytest.mark.parametrize(
    ("before", "after", "renames", "told"),
    [
        ({"a": int, "b": str}, {"x": int, "b": str}, {"things.a": "things.x"}, []),
        ({"a": str}, {"x": str}, {"things.a": "things.x"}, []),
        ({"a": str}, {"a": int}, {}, [("1", "altered")]),
        ({"a": int, "b": str}, {"a": int}, {}, [("1", "unlogged"), ('["1","q"]', "missing")]),
    ],
)
def test_records_whose_keys_were_migrated_are_checked_by_what_the_log_calls_them(
    url: str, before: Any, after: Any, renames: dict[str, str], told: list[Any]
):
    with DataFlow(url) as db:
        keyed(db, before, {"note": str})
        values = {"a": before["a"](1), "b": "q"}
        db.create("Thing", {**{name: values[name] for name in before}, "note": "kept"})

    with DataFlow(url, auto_migrate=False) as db:
        keyed(db, after, {"note": str} if "b" not in before or "b" in after else {"b": str})
        db.migrations.apply(renames=renames, allow_drop=True)
        report = db.audit.verify_records("Thing")

    assert (report.records, [(p.key, p.kind) for p in report.problems]) == (1, told)


def test_records_that_cannot_be_read_any_more_are_named_by_their_check(url: str):
    with DataFlow(url) as db:
        keyed(db, {"a": str}, {"kind": int})
        db.create("Thing", a="x", kind=1)

    kind = enum.Enum("Kind", {"ONE": 1})
    with DataFlow(url, auto_migrate=False) as db:
        keyed(db, {"a": str}, {"kind": kind})
        db.migrations.apply(allow_drop=True)
        with db.session() as session:
            session.execute(sa.text("UPDATE things SET kind = 0"))
            session.commit()
        with pytest.raises(StoredValueError, match="field 'kind' of model 'Thing'"):
            db.audit.verify_records("Thing")
