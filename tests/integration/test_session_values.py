"""Objects in a session are validated when they are written, as verbs validate."""

import asyncio
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, validates

from dataflow import DataFlow, Field, Relationship
from dataflow.errors import RecordValidationError
from dataflow.models.columntypes import JsonValue
from dataflow.models.ready import BaseModel
from dataflow.repositories import AsyncRepository, Repository

Work = Callable[[Session], Any]
InSession = Callable[[DataFlow, Work], Any]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def _in_thread(db: DataFlow, work: Work) -> Any:
    with db.session() as session:
        found = work(session)
        session.commit()
        return found


def _in_loop(db: DataFlow, work: Work) -> Any:
    async def main() -> Any:
        async with db.aio.session() as session:
            found = await session.run_sync(work)
            await session.commit()
            return found

    return asyncio.run(main())


@pytest.fixture(params=[_in_thread, _in_loop], ids=["sync", "async"])
def in_session(request: pytest.FixtureRequest) -> InSession:
    """Do something in a session, and commit it."""
    return request.param


def plain(db: DataFlow) -> Any:
    @db.model(timestamps=False)
    class Thing:
        id: int
        name: str = Field(max_length=5)
        count: int = 0
        price: Decimal = Decimal("1.5")
        colour: Colour = Colour.RED
        tags: list[int] = []
        at: dt.datetime | None = None
        pin: str = Field("none", secret=True, max_length=4)

    return Thing


def declarative(db: DataFlow) -> Any:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(5))
        count: Mapped[int] = mapped_column(default=0)
        price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), default=Decimal("1.5"))
        colour: Mapped[Colour] = mapped_column(default=Colour.RED)
        tags: Mapped[list[int]] = mapped_column(JsonValue(list[int]), default=list)
        at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime(timezone=True))
        pin: Mapped[str] = mapped_column(sa.String(4), default="none")

    db.model(Thing)
    return Thing


class ReadyBase(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData()


class ReadyThing(ReadyBase):
    __tablename__ = "things"
    name: Mapped[str] = mapped_column(sa.String(5))
    count: Mapped[int] = mapped_column(default=0)
    price: Mapped[Decimal] = mapped_column(default=Decimal("1.5"))
    colour: Mapped[Colour] = mapped_column(default=Colour.RED)
    tags: Mapped[list[int]] = mapped_column(default=list)
    at: Mapped[dt.datetime | None]
    pin: Mapped[str] = mapped_column(sa.String(4), default="none")


def ready(db: DataFlow) -> Any:
    db.model(ReadyThing)
    return ReadyThing


@pytest.fixture(params=[plain, declarative, ready], ids=["plain", "declarative", "ready"])
def thing(request: pytest.FixtureRequest, db: DataFlow) -> Any:
    """The model, declared in each of the ways."""
    found = request.param(db)
    db.create_tables()
    return found


BAD = [
    ("count", "many"),
    ("name", "longer"),
    ("name", 5),
    ("price", "much"),
    ("colour", "green"),
    ("tags", ["x"]),
    ("at", "yesterday"),
]


def test_a_new_object_with_a_wrong_value_is_refused_as_by_a_verb(
    db: DataFlow, thing: Any, in_session: InSession
):
    for field, value in BAD:
        values = {"name": "a", field: value}
        with pytest.raises(RecordValidationError) as by_verb:
            db.create(thing, **values)
        with pytest.raises(RecordValidationError) as caught:
            in_session(db, lambda session, values=values: session.add(thing(**values)))
        assert str(caught.value) == str(by_verb.value)
    assert db.count(thing) == 0


def test_a_changed_object_with_a_wrong_value_is_refused_as_by_a_verb(
    db: DataFlow, thing: Any, in_session: InSession
):
    key = db.create(thing, name="a")["id"]
    for field, value in BAD:
        with pytest.raises(RecordValidationError) as by_verb:
            db.update(thing, key, {field: value})

        def change(session: Session, field: str = field, value: Any = value) -> None:
            setattr(session.get(thing, key), field, value)

        with pytest.raises(RecordValidationError) as caught:
            in_session(db, change)
        assert str(caught.value) == str(by_verb.value)
    assert db.read(thing, key)["name"] == "a"


def test_values_become_what_the_fields_say(db: DataFlow, thing: Any, in_session: InSession):
    given = {
        "name": "a", "count": "7", "price": "2.50", "colour": "blue", "tags": ["1", 2],
        "at": "2020-01-02T03:04:05+02:00",
    }  # fmt: skip
    instant = dt.datetime(2020, 1, 2, 1, 4, 5, tzinfo=dt.UTC)
    names = ("count", "price", "colour", "tags", "at")
    wanted = (7, Decimal("2.50"), Colour.BLUE, [1, 2], instant)

    def work(session: Session) -> list[tuple[Any, ...]]:
        new, old = thing(**given), thing(name="b")
        session.add_all([new, old])
        session.flush()
        for name in names:
            setattr(old, name, given[name])
        session.flush()
        return [tuple(getattr(item, name) for name in names) for item in (new, old)]

    assert in_session(db, work) == [wanted, wanted]
    for record in db.list(thing)["records"]:
        assert tuple(record[name] for name in names) == wanted


def test_what_is_missing_is_told_by_its_name(db: DataFlow, thing: Any, in_session: InSession):
    with pytest.raises(RecordValidationError) as caught:
        in_session(db, lambda session: session.add(thing(count="x")))

    assert "name: a value is required (got None)" in str(caught.value)
    assert "count: Input should be a valid integer" in str(caught.value)


def test_expressions_of_sql_pass(db: DataFlow, thing: Any, in_session: InSession):
    key = db.create(thing, name="a", count=3)["id"]

    def work(session: Session) -> None:
        found = session.get(thing, key)
        assert found is not None
        found.count = thing.count + 1
        found.name = sa.func.upper(thing.name)
        session.add(thing(name=sa.func.lower("NEW"), count=sa.literal(1) + 1))

    in_session(db, work)

    rows = db.query(thing).sort("count").all()
    assert [(row["name"], row["count"]) for row in rows] == [("new", 2), ("A", 4)]


def test_only_what_has_changed_is_looked_at(db: DataFlow, thing: Any, in_session: InSession):
    key = db.create(thing, name="a")["id"]
    with db.session() as session:
        if db.database.driver.name == "postgresql":  # which stores nothing that is too long
            session.execute(sa.text("ALTER TABLE things ALTER COLUMN name TYPE text"))
        session.execute(sa.update(thing.__table__).values(name="much longer"))
        session.commit()

    def work(session: Session) -> None:
        found = session.get(thing, key)
        assert found is not None
        found.name = str(found.name)
        found.count = 2

    in_session(db, work)

    assert db.read(thing, key)["count"] == 2


def test_a_session_goes_on_after_a_refusal(db: DataFlow, thing: Any, in_session: InSession):
    def work(session: Session) -> Any:
        first = thing(name="ok")
        session.add(first)
        session.flush()
        bad = thing(name="b", count="x")
        session.add(bad)
        with pytest.raises(RecordValidationError):
            session.flush()
        bad.count = 5
        session.flush()

    in_session(db, work)

    assert db.count(thing) == 2


def test_the_value_of_a_secret_is_not_shown(db: DataFlow, in_session: InSession):
    thing = plain(db)
    db.create_tables()

    with pytest.raises(RecordValidationError) as caught:
        in_session(db, lambda session: session.add(thing(name="a", pin="hunter22")))

    assert "pin: " in str(caught.value)
    assert "hunter22" not in f"{caught.value!r}{caught.value}{caught.value.__cause__}"


def test_keys_that_a_flush_fills_in_are_not_missed(db: DataFlow, in_session: InSession):
    @db.model(multi_tenant=True, versioned=True, soft_delete=True)
    class Team:
        name: str
        notes: list["Note"] = Relationship(back_populates="team")

    @db.model(multi_tenant=True, actors=True)
    class Note:
        text: str
        team_id: int = Field(foreign_key=Team)
        team: Team = Relationship(back_populates="notes")

    def work(session: Session) -> list[Any]:
        red, blue = Team(name="red"), Team(name="blue")
        note = Note(text="x", team=red)
        session.add_all([note, blue])
        session.flush()
        note.team = blue
        session.flush()
        session.delete(red)
        return [note.team_id == blue.id, red.version, note.tenant_id]

    with db.tenant("acme"), db.acting("ada"):
        assert in_session(db, work) == [True, 1, "acme"]
        assert db.read("Note", 1)["created_by"] == "ada"


def test_repositories_validate_once(db: DataFlow):
    seen: list[Any] = []

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

        @validates("name")
        def _note(self, _: str, value: Any) -> Any:
            seen.append(value)
            return value

    db.model(Item)
    db.create_tables()
    with db.session() as session:
        items = Repository(session, Item)
        item = items.create(name="a")
        items.update(item, {"name": "b"})
        session.commit()
        assert seen == ["a", "b"]
        item.name = 7  # type: ignore[assignment]  # what is tested
        with pytest.raises(RecordValidationError):
            items.update(item, {})


def test_what_changes_between_a_repository_and_the_flush_is_looked_at(db: DataFlow):
    @db.model(timestamps=False)
    class Item:
        n: int

    db.create_tables()
    with db.session() as session:
        records = Repository(session, Item).records
        item = records.new({"n": "1"})
        item.n = "2"  # type: ignore[assignment]  # what is tested
        session.add(item)
        session.flush()
        assert item.n == 2
        records.change(item, {"n": "3"})
        item.n = "x"  # type: ignore[assignment]  # what is tested
        with pytest.raises(RecordValidationError):
            session.flush()


def test_objects_that_belong_to_a_transaction_are_validated(db: DataFlow):
    thing = plain(db)

    async def main() -> None:
        async with db.transaction(), db.aio.session() as session:
            session.add(thing(name="a", count="x"))
            with pytest.raises(RecordValidationError):
                await session.flush()
            session.expunge_all()
            await AsyncRepository(session, thing).create(name="b")
            await session.commit()

    asyncio.run(main())
    assert db.count(thing) == 1


@pytest.mark.parametrize("document", ["\0", float("nan"), {1, 2}, "\ud800", {1: "x"}])
def test_a_document_that_json_cannot_carry_is_refused_by_its_field(
    db: DataFlow, in_session: InSession, document: Any
):
    @db.model
    class Paper:
        facts: dict[str, Any] = {}

    given = {"facts": {"x": document}}
    for write in (
        lambda session: session.add(Paper(**given)),
        lambda session: Repository(session, Paper).create(given),
        lambda session: Repository(session, Paper).bulk_create([given]),
    ):
        with pytest.raises(RecordValidationError, match="facts: "):
            in_session(db, write)
    with pytest.raises(RecordValidationError, match="facts: "):
        db.create("Paper", given)
    assert db.count("Paper") == 0


def test_a_document_that_json_carries_comes_back_as_it_was(db: DataFlow):
    @db.model
    class Paper:
        facts: dict[str, Any] = {}
        lists: list[Any] = []

    facts = {"a": [1, 1.5, True, None, "x", {"b": []}], "c": {"d": 0.1, "e": 2**60}}
    paper = db.create("Paper", {"facts": facts, "lists": [facts, (1, 2)]})
    assert db.read("Paper", paper["id"])["facts"] == facts
    assert db.read("Paper", paper["id"])["lists"] == [facts, [1, 2]]


def test_a_key_that_the_database_generates_for_tenants_is_refused_by_its_field(db: DataFlow):
    @db.model(multi_tenant=True)
    class Paper:
        text: str = ""

    with (
        db.session("acme") as session,
        pytest.raises(RecordValidationError, match="id: the database generates"),
    ):
        Repository(session, Paper).create({"id": 1})
