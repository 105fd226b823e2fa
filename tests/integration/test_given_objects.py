"""Values given as objects: pydantic models, dataclasses, objects of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel as PydanticModel

from dataflow import DataFlow, Field, Relationship
from dataflow.errors import ParameterError, RecordNotFoundError, RecordValidationError
from dataflow.repositories import Repository


class HeroIn(PydanticModel):
    id: int | None = None
    name: str
    age: int | None = 7


class HeroChange(PydanticModel):
    id: int | None = None
    name: str | None = None
    age: int | None = None


@dataclass
class HeroRow:
    name: str
    age: int | None = None


def declare(db: DataFlow) -> Any:
    @db.model(timestamps=False)
    class Hero:
        name: str
        age: int | None = Field(None, ge=0)

    return Hero


def test_a_pydantic_model_is_created_with_its_defaults(db: DataFlow):
    hero = declare(db)

    assert db.create(hero, HeroIn(name="Ada")) == {"id": 1, "name": "Ada", "age": 7}


def test_of_a_pydantic_model_an_update_takes_what_was_set(db: DataFlow):
    hero = declare(db)
    db.create(hero, name="Ada", age=36)

    assert db.update(hero, 1, HeroChange(name="Eve")) == {"id": 1, "name": "Eve", "age": 36}
    assert db.update(hero, 1, HeroChange(age=None)) == {"id": 1, "name": "Eve", "age": None}
    with pytest.raises(ParameterError, match="needs new values"):
        db.update(hero, 1, HeroChange())


def test_dataclasses_and_objects_of_the_model_are_taken(db: DataFlow):
    hero = declare(db)

    db.create(hero, HeroRow("Ada", 36))
    db.create(hero, hero(name="Bob"))

    records = db.list(hero)["records"]
    assert [(record["name"], record["age"]) for record in records] == [("Ada", 36), ("Bob", None)]


def test_bulk_verbs_take_them_mixed_with_dicts(db: DataFlow):
    hero = declare(db)

    db.bulk_create(hero, [HeroIn(name="a"), {"name": "b"}, HeroRow("c", 3), hero(name="d")])
    db.bulk_update(hero, [HeroChange(id=1, name="x"), {"id": 2, "age": 2}])
    db.bulk_upsert(hero, [HeroChange(id=3, name="y"), HeroIn(name="z", id=9)])
    db.bulk_update(hero, {"name": "d"}, HeroChange(age=4))

    found = [(r["id"], r["name"], r["age"]) for r in db.list(hero, sort=["id"])["records"]]
    assert found == [(1, "x", 7), (2, "b", 2), (3, "y", 3), (4, "d", 4), (9, "z", None)]


def test_values_that_do_not_fit_are_named(db: DataFlow):
    hero = declare(db)

    with pytest.raises(RecordValidationError, match="age"):
        db.create(hero, HeroIn(name="Ada", age=-1))
    with pytest.raises(RecordValidationError, match="record"):
        db.create(hero, 5)


def test_repositories_take_them(db: DataFlow):
    hero = declare(db)
    with db.session() as session:
        heroes = Repository(session, hero)
        made = heroes.create(HeroIn(name="Ada"))
        heroes.update(made.id, HeroChange(name="Eve"))
        heroes.bulk_create([HeroRow("c", 3), hero(name="d")])
        session.commit()

    found = [(record["name"], record["age"]) for record in db.list(hero)["records"]]
    assert found == [("Eve", 7), ("c", 3), ("d", None)]


def test_an_objects_links_are_not_lost(db: DataFlow):
    @db.model
    class Team:
        name: str
        members: list[Member] = Relationship(back_populates="team")

    @db.model
    class Member:
        name: str
        team_id: int | None = Field(None, foreign_key="teams.id")
        team: Team | None = Relationship(back_populates="members")

    with db.session() as session:
        team = Repository(session, Team).create(Team(name="a", members=[Member(name="m")]))
        session.commit()

        assert [member.name for member in team.members] == ["m"]
    with pytest.raises(RecordValidationError, match="members"):
        db.create(Team, Team(name="b", members=[Member(name="n")]))


def test_an_update_of_what_is_not_there_may_be_an_error(db: DataFlow):
    hero = declare(db)

    assert db.update(hero, 5, {"name": "x"}) is None
    with pytest.raises(RecordNotFoundError, match="no 'Hero' with id=5"):
        db.update(hero, 5, {"name": "x"}, raise_on_not_found=True)
