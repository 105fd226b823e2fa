"""UPDATE statements in sessions: versions rise and updaters are named, as for objects."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from dataflow import DataFlow
from dataflow.errors import ParameterError
from dataflow.models.mixins import VersionMixin

Statement = Callable[[Any], Any]
STATEMENTS: dict[str, Statement] = {
    "of a model": lambda task: sa.update(task).where(task.id <= 2).values(title="new"),
    "of its table": lambda task: (
        sa.update(task.__table__).where(task.__table__.c.id <= 2).values(title="new")
    ),
    "in an order": lambda task: (
        sa.update(task).where(task.id <= 2).ordered_values((task.title, "new"))
    ),
}


def declare(db: DataFlow) -> Any:
    @db.model(versioned=True, actors=True)
    class Task:
        title: str

    db.bulk_create("Task", [{"title": f"task {n}"} for n in range(3)])
    return Task


def told(db: DataFlow) -> list[tuple[str, int, str | None]]:
    records = db.list("Task", sort=["id"], limit=None)["records"]
    return [(record["title"], record["version"], record["updated_by"]) for record in records]


@pytest.mark.parametrize("name", list(STATEMENTS))
def test_a_statement_raises_versions_and_names_who_made_it(db: DataFlow, name: str):
    task = declare(db)

    with db.acting("ada"), db.session() as session:
        session.execute(STATEMENTS[name](task))
        session.commit()

    assert told(db) == [("new", 2, "ada"), ("new", 2, "ada"), ("task 2", 1, None)]


def test_values_may_come_as_parameters(db: DataFlow):
    task = declare(db)

    async def main() -> None:
        async with db.aio.session() as session:
            await session.execute(sa.update(task).where(task.id == 1), {"title": "new"})
            await session.execute(
                sa.update(task.__table__).where(task.__table__.c.id == sa.bindparam("key")),
                [{"key": 2, "title": "two"}, {"key": 3, "title": "three"}],
            )
            await session.commit()

    with db.acting("ada"):
        asyncio.run(main())

    assert told(db) == [("new", 2, "ada"), ("two", 2, "ada"), ("three", 2, "ada")]


def test_values_that_a_statement_sets_itself_stay(db: DataFlow):
    task = declare(db)

    with db.acting("ada"), db.session() as session:
        session.execute(sa.update(task).values(title="x", version=7, updated_by="bob"))
        session.execute(sa.update(task).where(task.id == 1), {"version": 9})
        session.commit()

    assert told(db) == [("x", 9, "ada"), ("x", 7, "bob"), ("x", 7, "bob")]


def test_objects_of_the_session_know_their_new_version(db: DataFlow):
    task = declare(db)

    with db.session() as session:
        first = session.get(task, 1)
        session.execute(sa.update(task).values(title="all"))
        assert (first.title, first.version) == ("all", 2)
        first.title = "mine"
        session.commit()

    assert told(db) == [("mine", 3, None), ("all", 2, None), ("all", 2, None)]


def test_objects_of_other_sessions_become_stale(db: DataFlow):
    task = declare(db)

    def change(session: Session) -> None:
        session.execute(sa.update(task).values(title="all"))
        session.commit()

    with db.session() as mine:
        first = mine.get(task, 1)
        mine.commit()
        with db.session() as other:
            change(other)
        first.title = "lost"
        with pytest.raises(StaleDataError):
            mine.commit()

    assert told(db)[0] == ("all", 2, None)


def test_the_same_holds_for_declarative_classes(db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Item(VersionMixin, Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    db.adopt(Item)
    with db.session() as session:
        item = Item(name="a")
        session.add(item)
        session.commit()
        session.execute(sa.update(Item).values(name="b"))
        session.commit()
        session.refresh(item)
        assert (item.name, item.version) == ("b", 2)


def test_an_update_by_key_of_a_versioned_model_needs_the_version(db: DataFlow):
    task = declare(db)

    with db.session() as session:
        with pytest.raises(ParameterError) as caught:
            session.execute(sa.update(task), [{"id": 1, "title": "x"}])
        session.execute(sa.update(task), [{"id": 1, "title": "new", "version": 1}])
        session.commit()

    assert "rows for 'Task' lack 'version'" in str(caught.value)
    assert told(db)[0] == ("new", 2, None)
