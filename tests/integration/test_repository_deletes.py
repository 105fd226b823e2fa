"""`Repository.delete` for good: who did it, what goes with a record, and what comes back."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from dataflow import DataFlow
from dataflow.errors import StaleRecordError
from dataflow.repositories import AsyncRepository, Repository


def declare_account(db: DataFlow, *, soft_delete: bool) -> Any:
    @db.model(audit=True, soft_delete=soft_delete)
    class Account:
        owner: str

    return Account


def actors_of_deletes(db: DataFlow) -> list[str | None]:
    found = db.audit.get_recent_activity(hours=1)
    return [entry.actor for entry in found if entry.action == "delete"]


@pytest.mark.parametrize("soft_delete", [False, True])
def test_the_audit_log_names_the_user_who_deletes_for_good(db: DataFlow, *, soft_delete: bool):
    account = declare_account(db, soft_delete=soft_delete)
    keys = [db.create("Account", owner=name)["id"] for name in "abc"]
    with db.acting("service"), db.session() as session:
        accounts = Repository(session, account)
        accounts.delete(keys[0], soft_delete=False, user_id="ada")
        accounts.delete(accounts.get(keys[1]), soft_delete=False, user_id="ada")
        accounts.delete(keys[2], soft_delete=False)
        session.commit()

    assert sorted(actors_of_deletes(db), key=str) == ["ada", "ada", "service"]


def test_the_audit_log_names_the_user_who_deletes_many(db: DataFlow):
    account = declare_account(db, soft_delete=False)
    with db.session() as session:
        accounts = Repository(session, account)
        made = accounts.bulk_create([{"owner": "a"}, {"owner": "b"}], user_id="eve")
        accounts.bulk_delete([made[0], made[1].id], user_id="ada")
        session.commit()

    assert actors_of_deletes(db) == ["ada", "ada"]


def test_the_audit_log_names_the_user_who_deletes_in_coroutines(db: DataFlow):
    account = declare_account(db, soft_delete=False)

    async def create_and_delete() -> None:
        async with db.aio.session() as session:
            accounts = AsyncRepository(session, account)
            made = await accounts.create(owner="a")
            await accounts.delete(made.id, user_id="ada")
            await session.commit()

    asyncio.run(create_and_delete())

    assert actors_of_deletes(db) == ["ada"]


def declare_shelf(db: DataFlow, *, soft_delete: bool) -> tuple[Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Shelf(Base):
        __tablename__ = "shelves"
        id: Mapped[int] = mapped_column(primary_key=True)
        label: Mapped[str] = mapped_column(default="a")
        deleted_at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))
        books: Mapped[list[Book]] = relationship(cascade="all, delete-orphan")

    class Book(Base):
        __tablename__ = "books"
        id: Mapped[int] = mapped_column(primary_key=True)
        shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelves.id"))
        deleted_at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))

    db.model(soft_delete=soft_delete)(Shelf)
    db.model(soft_delete=soft_delete)(Book)
    db.create_tables()
    return Shelf, Book


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("soft_delete", [False, True])
def test_what_a_link_cascades_to_goes_with_the_record(
    db: DataFlow, *, soft_delete: bool, by_key: bool
):
    shelf, book = declare_shelf(db, soft_delete=soft_delete)
    seen = list[int]()
    sa.event.listen(shelf, "before_delete", lambda _, __, record: seen.append(record.id))
    with db.session(include_deleted=True) as session:
        shelves = Repository(session, shelf)
        kept, gone = (shelves.create(books=[book(), book()]) for _ in range(2))
        session.commit()

        assert shelves.delete(gone.id if by_key else gone, soft_delete=False) is True
        session.commit()

        assert session.scalars(sa.select(shelf.id)).all() == [kept.id]
        assert set(session.scalars(sa.select(book.shelf_id))) == {kept.id}
        assert seen == [gone.id]


def test_what_else_is_deleted_meanwhile_is_hidden_as_ever(db: DataFlow):
    shelf, _ = declare_shelf(db, soft_delete=True)
    with db.session(include_deleted=True) as session:
        shelves = Repository(session, shelf)
        hidden, gone, later = shelves.bulk_create([{}, {}, {}])
        session.delete(hidden)
        shelves.delete(gone, soft_delete=False)
        session.delete(later)
        session.commit()

        assert set(session.scalars(sa.select(shelf.id))) == {hidden.id, later.id}
        assert None not in {hidden.deleted_at, later.deleted_at}


@pytest.mark.parametrize("soft_delete", [False, True])
@pytest.mark.parametrize("savepoint", [False, True])
def test_a_rollback_brings_a_record_back_to_its_session(
    db: DataFlow, *, savepoint: bool, soft_delete: bool
):
    shelf, _ = declare_shelf(db, soft_delete=soft_delete)
    key = db.create("Shelf")["id"]
    with db.session() as session:
        record = session.get_one(shelf, key)
        part = session.begin_nested() if savepoint else session
        Repository(session, shelf).delete(record, soft_delete=False)
        part.rollback()
        record.label = "b"
        session.commit()

        assert record in session

    assert db.read("Shelf", key)["label"] == "b"


def test_a_record_that_is_not_written_yet_is_deleted_too(db: DataFlow):
    shelf, _ = declare_shelf(db, soft_delete=False)
    with db.session() as session:
        record = shelf()
        session.add(record)

        assert Repository(session, shelf).delete(record) is True
        session.commit()

    assert db.count("Shelf") == 0


def test_a_stale_record_is_not_deleted_for_good(db: DataFlow):
    @db.model(versioned=True)
    class Page:
        text: str

    key = db.create("Page", text="a")["id"]
    with db.session() as session:
        pages = Repository(session, Page)
        stale = pages.get(key)
        session.commit()
        session.expunge(stale)
        pages.update(key, {"text": "b"})
        session.commit()
        session.expunge_all()

        with pytest.raises(StaleRecordError, match="'Page' was changed or removed"):
            pages.delete(stale)
        session.rollback()

    assert db.count("Page") == 1
