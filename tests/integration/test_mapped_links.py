"""Links that the author of a mapped class wrote with `relationship()`."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from dataflow import DataFlow
from dataflow.errors import OptionError


def test_links_of_mapped_classes_are_followed_as_their_author_says(db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        boss_id: Mapped[int | None] = mapped_column(sa.ForeignKey("people.id"))
        boss: Mapped[Person | None] = relationship(back_populates="team", remote_side=[id])
        team: Mapped[list[Person]] = relationship(back_populates="boss")
        last: Mapped[Letter | None] = relationship(
            uselist=False, viewonly=True, order_by="Letter.id.desc()"
        )
        letters: Mapped[list[Letter]] = relationship(order_by="Letter.id.desc()", viewonly=True)
        urgent: Mapped[list[Letter]] = relationship(
            primaryjoin="and_(Person.id == foreign(Letter.to_id), Letter.urgent)", viewonly=True
        )

    class Letter(Base):
        __tablename__ = "letters"
        id: Mapped[int] = mapped_column(primary_key=True)
        to_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"))
        urgent: Mapped[bool] = mapped_column(default=False)

    db.adopt(Person, Letter)
    db.bulk_create(Person, [{"id": 1}, {"id": 2, "boss_id": 1}])
    db.bulk_create(Letter, [{"id": 1, "to_id": 1}, {"id": 2, "to_id": 1, "urgent": True}])
    links = ["boss", "team", "last", "letters"]
    first, second = db.list(Person, sort="id", include=links)["records"]
    assert (first["boss"], [one["id"] for one in first["team"]]) == (None, [2])
    assert (second["boss"]["id"], second["team"]) == (1, [])
    assert first["last"]["id"] == 2
    assert [letter["id"] for letter in first["letters"]] == [2, 1]
    with pytest.raises(OptionError, match="cannot be followed"):
        db.list(Person, include=["urgent"])


@pytest.mark.parametrize(
    "condition",
    [
        "func.lower(Person.name) == foreign(Letter.to_name)",
        "Person.name == foreign(func.lower(Letter.to_name))",
        "Person.name != foreign(Letter.to_name)",
    ],
)
def test_a_link_over_more_than_equal_columns_is_not_followed_as_if_it_were_one(
    memory: DataFlow, condition: str
):
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        letters: Mapped[list[Letter]] = relationship(primaryjoin=condition, viewonly=True)

    class Letter(Base):
        __tablename__ = "letters"
        id: Mapped[int] = mapped_column(primary_key=True)
        to_name: Mapped[str]

    memory.adopt(Person, Letter)
    memory.create(Person, {"id": 1, "name": "Ada"})
    memory.create(Letter, {"id": 1, "to_name": "Ada"})

    with pytest.raises(OptionError) as caught:
        memory.list(Person, include=["letters"])
    assert caught.value.problem_text() == (
        "model 'Person': the link 'letters' cannot be followed: it is more than one field that "
        "equals another."
    )
    assert caught.value.advice() == "load it in a session, with selectinload()"


def links_of(db: DataFlow, model: Any) -> dict[str, tuple[str, bool]]:
    info = db.get_model_info(model)["relationships"]
    return {name: (link["target"], link["many"]) for name, link in info.items()}


def test_a_link_is_known_to_lead_to_many_before_anything_is_loaded(memory: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "people"
        id: Mapped[int] = mapped_column(primary_key=True)
        boss_id: Mapped[int | None] = mapped_column(sa.ForeignKey("people.id"))
        boss: Mapped[Person | None] = relationship(back_populates="team", remote_side=[id])
        team: Mapped[list[Person]] = relationship(back_populates="boss")
        letters = relationship("Letter", back_populates="owner")
        last = relationship("Letter", uselist=False, viewonly=True)

    memory.adopt(Person)
    # Letter is not there yet: to ask must not spoil what is declared later.
    early = links_of(memory, Person)

    class Letter(Base):
        __tablename__ = "letters"
        id: Mapped[int] = mapped_column(primary_key=True)
        owner_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"))
        owner = relationship("Person", back_populates="letters")

    memory.adopt(Letter)

    assert (early["boss"], early["team"]) == (("Person", False), ("Person", True))
    assert links_of(memory, Person) == {
        "boss": ("Person", False),
        "team": ("Person", True),
        "letters": ("Letter", True),
        "last": ("Letter", False),
    }
    assert links_of(memory, Letter) == {"owner": ("Person", False)}
