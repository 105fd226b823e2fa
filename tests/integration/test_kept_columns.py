"""Columns that options of a mapped class keep: what they hold, and what sessions check."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from dataflow import DataFlow
from dataflow.errors import OptionError
from dataflow.models.mixins import SoftDeleteMixin, VersionMixin


def house() -> Any:
    """Return a new base class, whose classes have an `id`."""

    class House(DeclarativeBase):
        id: Mapped[int] = mapped_column(primary_key=True)

        @declared_attr.directive
        @classmethod
        def __tablename__(cls) -> str:
            return cls.__name__.lower()

    return House


def test_a_class_with_mapper_arguments_of_its_own_keeps_its_versions(db: DataFlow):
    @db.model
    class Document(VersionMixin, house()):
        text: Mapped[str]
        __mapper_args__: Any = {"eager_defaults": True}

    made = db.create(Document, text="first")
    with db.session() as session:
        mine = session.get_one(Document, made["id"])
        session.expunge(mine)
    db.update(Document, made["id"], {"text": "Ada's"})

    with pytest.raises(StaleDataError), db.session() as session:
        session.add(mine)
        mine.text = "Bob's"
        session.commit()

    assert db.read(Document, made["id"]) | {"text": "Ada's", "version": 2} == db.read(
        Document, made["id"]
    )


def test_an_own_column_of_another_type_in_the_place_of_a_kept_one_is_refused(db: DataFlow):
    base = house()

    class Firmware(VersionMixin, base):
        version: Mapped[str] = mapped_column()  # type: ignore[assignment]  # what a person may write

    class Job(SoftDeleteMixin, base):
        deleted_at: Mapped[dt.date | None] = mapped_column()  # type: ignore[assignment]  # likewise

    for model, told in ((Firmware, "versioned keeps ints"), (Job, "soft_delete keeps datetimes")):
        with pytest.raises(OptionError, match=told):
            db.model(model)
