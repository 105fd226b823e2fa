"""Values that a column's new type cannot take fail the migration, on every database."""

from __future__ import annotations

from pathlib import Path

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
