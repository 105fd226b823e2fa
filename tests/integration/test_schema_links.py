"""Foreign keys in circles, of tenants, and in tables that exist already."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError, SchemaDriftError

Open = Callable[..., DataFlow]


def declare_tree(db: DataFlow, **options: Any) -> None:
    @db.model(table="places", **options)
    class Place:
        name: str = ""
        other_id: int | None = Field(default=None, foreign_key="places.id")


def declare_pair(db: DataFlow, **options: Any) -> None:
    @db.model(table="places", **options)
    class Place:
        name: str = ""
        other_id: int | None = Field(default=None, foreign_key="keepers.id")

    @db.model(table="keepers", **options)
    class Keeper:
        other_id: int | None = Field(default=None, foreign_key="places.id")


@pytest.fixture
def fresh(url: str, tmp_path: Path) -> Iterator[Open]:
    opened: list[DataFlow] = []

    def open_again(**settings: Any) -> DataFlow:
        opened.append(DataFlow(url, migrations_path=str(tmp_path / "files"), **settings))
        return opened[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield open_again
    for db in opened:
        db.close()


@pytest.mark.parametrize("options", [{}, {"multi_tenant": True}])
@pytest.mark.parametrize("declare", [declare_tree, declare_pair])
@pytest.mark.parametrize("way", ["first use", "apply", "files"])
def test_models_may_lead_to_each_other_in_a_circle(
    fresh: Open, declare: Callable[..., None], options: dict[str, bool], way: str
):
    db = fresh(auto_migrate=way == "first use")
    declare(db, **options)
    if way == "apply":
        db.migrations.apply()
    if way == "files":
        db.migrations.revision("All")
        db.migrations.upgrade()
    other = "Place" if declare is declare_tree else "Keeper"
    with db.tenant("acme"):
        first = db.create("Place", {})
        second = db.create(other, {"other_id": first["id"]})
        db.update("Place", first["id"], {"other_id": second["id"]})
        with pytest.raises(DataFlowError):
            db.create(other, {"other_id": 99})
    if options:
        with db.tenant("globex"), pytest.raises(DataFlowError):
            db.create(other, {"other_id": first["id"]})
    assert db.migrations.plan().changes == ()
    if way == "files":
        db.migrations.downgrade("base", allow_drop=True)


def declare_invoices(db: DataFlow, *, linked: bool, **options: Any) -> None:
    @db.model(**options)
    class Customer:
        name: str = ""

    if not linked:

        @db.model(**options)
        class Invoice:
            total: int = 0

    else:

        @db.model(**options)  # type: ignore[no-redef]  # its next version
        class Invoice:
            total: int = 0
            customer_id: int | None = Field(
                default=None, foreign_key="customers.id", on_delete="cascade"
            )


def test_a_link_that_first_use_adds_does_what_on_delete_says(fresh: Open):
    db = fresh()
    declare_invoices(db, linked=False)
    db.create("Invoice", {})
    db.close()
    db = fresh()
    declare_invoices(db, linked=True)
    customer = db.create("Customer", {})
    db.create("Invoice", {"customer_id": customer["id"]})
    db.delete("Customer", customer["id"])
    assert db.count("Invoice") == 1
    assert db.migrations.plan().changes == ()


def test_a_link_that_is_added_to_a_model_of_tenants_stays_within_each(fresh: Open):
    db = fresh()
    declare_invoices(db, linked=False, multi_tenant=True)
    with db.tenant("acme"):
        db.create("Invoice", {})
        customer = db.create("Customer", {})
    db.close()
    db = fresh()
    declare_invoices(db, linked=True, multi_tenant=True)
    with db.tenant("acme"):
        try:
            db.create_tables()
        except SchemaDriftError:  # SQLite adds no foreign key of several columns to a table
            db.migrations.apply()
        db.create("Invoice", {"customer_id": customer["id"]})
    with db.tenant("globex"), pytest.raises(DataFlowError):
        db.create("Invoice", {"customer_id": customer["id"]})
    assert db.migrations.plan().changes == ()
