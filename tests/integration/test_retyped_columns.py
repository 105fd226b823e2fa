"""Values that a column's new type cannot take fail the migration, on every database."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import DataValueError


@pytest.mark.parametrize("way", ["apply", "files"])
@pytest.mark.parametrize(
    ("kind", "values", "fits"),
    [
        (int, ["7", "-3"], True),
        (int, ["7", "a0"], False),
        (int, ["1.5"], False),
        (float, ["7", "1.5e3"], True),
        (float, ["7", "a0"], False),
        (Decimal, ["7", "1.50"], True),
        (Decimal, ["7", "a0"], False),
    ],
)
def test_texts_become_numbers_or_the_migration_fails(
    url: str, tmp_path: Path, way: str, kind: type, values: list[str], *, fits: bool
):
    with DataFlow(url) as before:

        @before.model
        class Item:
            value: str

        before.bulk_create("Item", [{"value": value} for value in values])
    db = DataFlow(url, auto_migrate=False, migrations_path=str(tmp_path / "files"))

    @db.model  # type: ignore[no-redef]  # its next version
    class Item:
        value: kind  # type: ignore[valid-type]  # a parameter

    def migrate() -> None:
        if way == "apply":
            db.migrations.apply(allow_drop=True)
        else:
            db.migrations.revision("Numbers", allow_drop=True)
            db.migrations.upgrade(allow_drop=True)

    if fits:
        migrate()
        found = [item["value"] for item in db.list("Item", sort="id")["records"]]
        assert found == [kind(value) for value in values]
    else:
        with pytest.raises(DataValueError):
            migrate()
        with DataFlow(url, auto_migrate=False) as after:

            @after.model  # type: ignore[no-redef]  # as it was
            class Item:
                value: str

            found = [item["value"] for item in after.list("Item", sort="id")["records"]]
        assert found == values
    db.close()


def declare(db: DataFlow, kind: type) -> None:
    @db.model(timestamps=False)
    class Item:
        value: kind  # type: ignore[valid-type]  # a parameter


@pytest.mark.parametrize(
    ("before", "after", "found", "nines"),
    [(Decimal, str, ["10", "9", "9.0"], 1), (str, Decimal, [9, 9, 10], 2)],
)
def test_values_compare_as_what_they_have_become(
    url: str, before: type, after: type, found: list[Any], nines: int
):
    with DataFlow(url) as db:
        declare(db, before)
        db.bulk_create("Item", [{"value": before(value)} for value in ("9", "10", "9.0")])

    with DataFlow(url, auto_migrate=False) as db:
        declare(db, after)
        db.migrations.apply(allow_drop=True)

        assert not db.migrations.plan().changes
        assert [item["value"] for item in db.list("Item", sort="value")["records"]] == found
        assert db.count("Item", {"value": after("9")}) == nines
