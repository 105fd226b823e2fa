"""A type that has a place for every value of the former one is no loss, any other is."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import DataLossError, DataValueError
from dataflow.models.columntypes import ExactDecimal
from dataflow.schema.compare import is_wider

Bounds = tuple[int, int]
bounds = st.integers(1, 12).flatmap(
    lambda digits: st.tuples(st.just(digits), st.integers(0, digits))
)


@pytest.fixture
def server(postgres_databases: Any) -> Iterator[Session]:
    with DataFlow(postgres_databases.create()) as db, db.session() as session:
        yield session


def keeps(server: Session, value: Decimal, new: Bounds) -> bool:
    """Ask PostgreSQL whether a value is the same in another type."""
    digits, places = new
    try:
        cast = sa.text(f"SELECT CAST('{value:f}' AS numeric({digits}, {places}))")
        return server.scalar(cast) == value
    except DBAPIError:
        server.rollback()
        return False


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(old=bounds, new=bounds)
def test_decimals_are_no_loss_exactly_where_postgres_keeps_the_outermost_values(
    server: Session, old: Bounds, new: Bounds
):
    digits, places = old
    least = Decimal(1).scaleb(-places)
    outermost = [least, (10**digits - 1) * least]

    found = is_wider(sa.Numeric(*old), ExactDecimal(*new))

    assert found == all(keeps(server, value, new) for value in outermost)


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        (sa.Numeric(8, 2), ExactDecimal(12, 4), True),
        (sa.Numeric(8, 2), ExactDecimal(9, 4), False),
        (sa.Numeric(8, 2), ExactDecimal(), True),
        (sa.Numeric(), ExactDecimal(12, 4), False),
        (sa.Numeric(), ExactDecimal(), True),
        (sa.Numeric(8, 0), ExactDecimal(9), True),
        (sa.Numeric(8, 2), sa.Numeric(9), False),
        (sa.Float(53), ExactDecimal(60, 20), False),
        (sa.Numeric(8, 2), sa.Float(53), False),
        (sa.Numeric(8, 2), sa.BigInteger(), False),
    ],
    ids=str,
)
def test_a_number_is_no_loss_where_its_digits_have_a_place(old: Any, new: Any, wider: bool):
    assert is_wider(old, new) is wider


def declare(db: DataFlow, digits: int, places: int) -> None:
    @db.model(timestamps=False)
    class Thing:
        price: Decimal = Field(max_digits=digits, decimal_places=places)


def declare_unbounded(db: DataFlow) -> None:
    @db.model(timestamps=False)
    class Thing:
        price: Decimal


def test_a_decimal_with_more_digits_on_both_sides_is_migrated(db: DataFlow, later: DataFlow):
    declare(db, 8, 2)
    db.create("Thing", price="999999.99")
    declare(later, 12, 4)

    later.migrations.apply()

    assert not later.migrations.plan()
    assert later.read("Thing", 1)["price"] == Decimal("999999.99")
    assert later.create("Thing", price="12345678.1234")["price"] == Decimal("12345678.1234")


def test_a_decimal_that_gains_places_and_loses_digits_is_refused_on_postgres(
    postgres_databases: Any,
):
    url = postgres_databases.create()
    with DataFlow(url) as db, DataFlow(url, auto_migrate=False) as later:
        declare(db, 8, 2)
        db.create_tables()
        declare(later, 9, 4)

        with pytest.raises(DataLossError):
            later.migrations.apply()


def migrate(db: DataFlow, way: str, *, allow_drop: bool = False) -> None:
    if way == "apply":
        db.migrations.apply(allow_drop=allow_drop)
    elif db.migrations.plan():  # SQLite's decimals have no bounds
        db.migrations.revision("Other bounds", allow_drop=allow_drop)
        db.migrations.upgrade(allow_drop=allow_drop)


@pytest.mark.parametrize("way", ["apply", "files"])
def test_a_decimal_that_loses_its_bounds_is_rounded_no_more(
    db: DataFlow, later: DataFlow, way: str
):
    declare(db, 10, 2)
    db.create("Thing", price="1.23")
    declare_unbounded(later)

    migrate(later, way)

    assert not later.migrations.plan()
    assert later.create("Thing", price="1.239")["price"] == Decimal("1.239")
    assert later.count("Thing", {"price": "1.23"}) == 1


@pytest.mark.parametrize("way", ["apply", "files"])
def test_a_decimal_that_gets_bounds_may_lose_digits_on_postgres(
    postgres_databases: Any, tmp_path: Path, way: str
):
    url = postgres_databases.create()
    files = DataFlow(url, auto_migrate=False, migrations_path=tmp_path)
    with DataFlow(url) as db, files as later:
        declare_unbounded(db)
        db.create("Thing", price="1.239")
        declare(later, 10, 2)

        with pytest.raises(DataLossError):
            migrate(later, way)
        migrate(later, way, allow_drop=True)

        assert not later.migrations.plan()
        assert later.read("Thing", 1)["price"] == Decimal("1.24")
        assert db.create("Thing", price="1.239")["price"] == Decimal("1.24")


@pytest.mark.parametrize(
    "kind", [sa.Numeric(8), sa.Numeric(8, 2), sa.Numeric(), sa.DECIMAL(8, 2), sa.Float(), sa.CHAR()]
)
def test_a_type_as_it_was_made_needs_no_migration(db: DataFlow, kind: Any):
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[Any] = mapped_column(kind)

    db.model(Thing)
    db.create_tables()

    assert not db.migrations.plan()


class State(enum.Enum):
    NEW = "new"
    PUBLISHED = "published"


def declare_text(db: DataFlow) -> None:
    @db.model(timestamps=False)
    class Post:
        state: str = Field(max_length=5)


def declare_state(db: DataFlow) -> None:
    @db.model(timestamps=False)
    class Post:
        state: State


@pytest.mark.parametrize("way", ["apply", "files"])
def test_a_short_text_that_becomes_an_enum_takes_all_its_members(
    db: DataFlow, later: DataFlow, way: str
):
    declare_text(db)
    db.create("Post", state="new")
    declare_state(later)

    migrate(later, way)

    assert not later.migrations.plan()
    assert later.read("Post", 1)["state"] is State.NEW
    assert later.create("Post", state="published")["state"] is State.PUBLISHED


@pytest.mark.parametrize("way", ["apply", "files"])
def test_an_enum_becomes_a_short_text_where_its_values_fit_on_postgres(
    postgres_databases: Any, tmp_path: Path, way: str
):
    url = postgres_databases.create()
    files = DataFlow(url, auto_migrate=False, migrations_path=tmp_path)
    with DataFlow(url) as db, files as later:
        declare_state(db)
        db.bulk_create("Post", [{"state": "new"}, {"state": "published"}])
        declare_text(later)

        with pytest.raises(DataLossError):
            migrate(later, way)
        with pytest.raises(DataValueError):
            migrate(later, way, allow_drop=True)
        db.delete("Post", 2)
        if way == "apply":
            migrate(later, way, allow_drop=True)
        else:
            later.migrations.upgrade(allow_drop=True)

        assert not later.migrations.plan()
        assert later.read("Post", 1)["state"] == "new"
