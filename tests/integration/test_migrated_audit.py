"""Migrations that change records of audited models are in the log like all other changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow


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
