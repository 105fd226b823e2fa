"""Values of classes that SQLAlchemy maps are checked by the types of their columns."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from dataflow import DataFlow
from dataflow.errors import RecordValidationError
from dataflow.models.columntypes import EnumValue
from dataflow.models.enums import WorkflowStatus
from dataflow.models.mixins import CorrelationMixin
from dataflow.models.ready import BaseModel
from dataflow.repositories import Repository

AT = "2026-03-01T12:00:00+02:00"


class Sighting(CorrelationMixin, BaseModel):
    __tablename__ = "declarative_sightings"

    at: Mapped[dt.datetime]
    details: Mapped[dict[str, Any]]
    took: Mapped[dt.timedelta | None]
    status: Mapped[WorkflowStatus] = mapped_column(EnumValue(WorkflowStatus), default="draft")


@pytest.fixture
def sightings(db: DataFlow) -> Iterator[Repository[Sighting]]:
    db.adopt(Sighting)
    with db.session() as session:
        yield Repository(session, Sighting)


def test_texts_of_json_become_values_of_the_columns_types(db: DataFlow):
    db.adopt(Sighting)

    made = db.create("Sighting", at=AT, details={"a": 1}, took="PT90S", status="active")

    assert made["at"] == dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    assert made["took"] == dt.timedelta(seconds=90)
    assert made["status"] is WorkflowStatus.ACTIVE
    assert db.bulk_create("Sighting", [{"at": AT, "details": {}}])["inserted"] == 1
    assert db.count("Sighting", {"at": AT}) == 2


def test_a_repositorys_record_has_the_types_of_its_columns_before_it_is_read_again(
    sightings: Repository[Sighting],
):
    made = sightings.create({"at": dt.datetime(2026, 3, 1, 10), "details": {"a": [1]}})

    assert made.at == dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    assert made.details == {"a": [1]}


@pytest.mark.parametrize("correlation", [7, uuid.UUID(int=7), "seven"])
def test_a_key_is_given_as_text_uuid_or_whole_number(
    db: DataFlow, sightings: Repository[Sighting], correlation: object
):
    values = {"at": AT, "details": {}, "correlation_id": correlation}

    assert sightings.create(values).correlation_id == str(correlation)
    assert sightings.count({"correlation_id": correlation}) == 1
    assert sightings.exists({"correlation_id": {"$in": [correlation]}})
    statement = sa.select(Sighting).where(Sighting.correlation_id == str(correlation))
    assert sightings.session.scalars(statement).one().correlation_id == str(correlation)


@pytest.mark.parametrize(
    ("field", "value"),
    [("at", "soon"), ("details", "text"), ("details", [1]), ("took", "long"), ("status", "x")],
)
def test_a_value_that_does_not_fit_is_refused_and_named(
    db: DataFlow, sightings: Repository[Sighting], field: str, value: object
):
    values = {"at": AT, "details": {}, field: value}

    with pytest.raises(RecordValidationError, match=f"\n  {field}"):
        sightings.create(values)
    sightings.session.close()
    with pytest.raises(RecordValidationError, match=f"\n  {field}"):
        db.create("Sighting", values)


def test_values_of_a_columns_own_for_updates_are_set_by_every_update(db: DataFlow):
    numbers = count(1)

    class Base(DeclarativeBase):
        pass

    class Tree(Base):
        __tablename__ = "trees"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        seen: Mapped[int | None] = mapped_column(onupdate=lambda: next(numbers))
        fixed: Mapped[int] = mapped_column(default=7, onupdate=9)
        computed: Mapped[int | None] = mapped_column(onupdate=sa.text("3 + 1"))

    db.adopt(Tree)
    key = db.create("Tree", name="a")["id"]

    def values() -> list[Any]:
        record = db.read("Tree", key)
        return [record[name] for name in ("seen", "fixed", "computed")]

    db.bulk_upsert("Tree", [{"id": key, "name": "b"}])
    assert values() == [None, 7, None]
    db.update("Tree", key, {"name": "c"})
    assert values() == [1, 9, 4]
    db.bulk_update("Tree", {"name": "c"}, {"name": "d"})
    db.bulk_update("Tree", [{"id": key, "name": "e"}])
    db.query("Tree").where({"name": "e"}).update({"name": "f"})
    assert values() == [4, 9, 4]
    db.update("Tree", key, {"seen": 77})
    assert values() == [77, 9, 4]


class Guid(TypeDecorator[uuid.UUID]):
    """A key as other libraries store it: 16 bytes where the database has no type for it."""

    impl = sa.BINARY(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(sa.UUID() if native else sa.BINARY(16))

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        return value.bytes if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return uuid.UUID(bytes=value) if isinstance(value, bytes) else value


def test_keys_that_another_librarys_type_stores_as_bytes_work_in_lists_links_and_audit(
    db: DataFlow,
):
    class Base(DeclarativeBase):
        pass

    class Crew(Base):
        __tablename__ = "crews"
        id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
        name: Mapped[str]
        members: Mapped[list[Sailor]] = relationship(back_populates="crew")

    class Sailor(Base):
        __tablename__ = "sailors"
        id: Mapped[uuid.UUID] = mapped_column(Guid(), primary_key=True, default=uuid.uuid4)
        crew_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("crews.id"))
        crew: Mapped[Crew] = relationship(back_populates="members")

    db.enable_audit_log()
    db.adopt(Crew, Sailor)
    crews = [db.create("Crew", name=name)["id"] for name in ("a", "b")]
    sailor = db.create("Sailor", crew_id=crews[0])["id"]
    db.bulk_create("Sailor", [{"id": uuid.uuid4(), "crew_id": crews[1]} for _ in range(120)])

    (found,) = db.list("Sailor", {"id": {"$in": [sailor]}}, include=["crew"])["records"]
    (made,) = db.audit.get_by_entity("Sailor", sailor)

    assert found["crew"]["name"] == "a"
    assert made.after == {"id": sailor, "crew_id": crews[0]}
    assert db.audit.verify_records("Sailor").ok
