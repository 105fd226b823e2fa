"""Revision files: written from the models, carried out whole, and undone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import enum
import sqlite3
import threading
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import (
    DataLossError,
    ForeignKeyViolationError,
    MigrationError,
    ParameterError,
    SchemaDriftError,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def first(db: DataFlow) -> DataFlow:
    @db.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=50)

    @db.model
    class User:
        id: int
        name: str
        age: int | None = None
        balance: Decimal = Decimal("1.50")
        colour: Colour = Colour.RED
        tags: list[str] = []
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        __dataflow__ = {"indexes": [("name", "age")]}

    return db


def second(db: DataFlow) -> DataFlow:
    @db.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=200)

    @db.model
    class User:
        id: int
        full_name: str = Field(index=True)
        age: int = 7
        balance: Decimal = Decimal("1.50")
        colour: Colour = Colour.RED
        tags: list[str] = []
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        email: str = Field(default="it's 50% :x", max_length=80)
        since: dt.date = dt.date(2020, 1, 2)
        active: bool = True
        extra: dict[str, int] = {"a": 1}

    @db.model
    class Note:
        text: str
        user_id: int = Field(foreign_key="users.id", on_delete="cascade")

    return db


RENAMES = {"users.name": "users.full_name"}


def written(db: DataFlow, body: str, message: str = "by hand", lines: str = "") -> Any:
    """Write a revision by hand, as `upgrade()`."""
    made = db.migrations.revision(message, autogenerate=False)
    text = made.path.read_text().replace("def upgrade() -> None:\n    pass", f"{lines}\n{body}")
    made.path.write_text(text)
    return made


def test_files_make_the_schema_change_it_and_undo_it(open_db: Any):
    one = first(open_db())
    made = one.migrations.revision("Initial schema")
    assert one.migrations.current() is None
    assert [revision.id for revision in one.migrations.upgrade()] == [made.id]
    assert one.migrations.current() == made.id
    one.migrations.check()
    team = one.create("Team", name="red")
    one.bulk_create(
        "User", [{"name": f"u{n}", "age": n or None, "team_id": team["id"]} for n in range(5)]
    )
    one.delete("User", 5)

    two = second(open_db())
    two.migrations.revision("Full names", renames=RENAMES)
    two.migrations.upgrade()
    two.migrations.check()
    users = two.query("User").sort("id").all()
    assert [user["full_name"] for user in users] == ["u0", "u1", "u2", "u3"]
    assert [user["age"] for user in users] == [7, 1, 2, 3]
    assert {user["email"] for user in users} == {"it's 50% :x"}
    assert {user["since"] for user in users} == {dt.date(2020, 1, 2)}
    assert users[0]["extra"] == {"a": 1}
    assert two.create("User", full_name="new")["id"] == 6

    two.migrations.downgrade("-1", allow_drop=True)
    assert two.migrations.current() == made.id
    again = first(open_db())
    assert not again.migrations.plan()
    assert [user["name"] for user in again.query("User").sort("id").all()][-1] == "new"
    again.migrations.downgrade("base", allow_drop=True)
    assert again.migrations.current() is None


def test_history_tells_the_newest_first_and_where_the_database_is(open_db: Any):
    one = first(open_db())
    made = one.migrations.revision("Initial schema")
    one.migrations.upgrade()
    two = second(open_db())
    later = two.migrations.revision("Full names", renames=RENAMES)

    told = two.migrations.history()

    assert [(r.id, r.parents, r.is_head, r.is_current) for r in told] == [
        (later.id, (made.id,), True, False),
        (made.id, (), False, True),
    ]
    assert str(told[0]) == f"{later.id} (head): Full names"
    assert str(told[1]) == f"{made.id} (current): Initial schema"


def test_check_tells_of_files_that_are_not_carried_out(open_db: Any):
    db = first(open_db())
    made = db.migrations.revision("Initial schema")

    with pytest.raises(SchemaDriftError) as caught:
        db.migrations.check()
    assert f"not carried out yet: {made.id} (head): Initial schema" in str(caught.value)
    assert "run db.migrations.upgrade()" in str(caught.value)

    db.migrations.upgrade()
    later = second(open_db())
    with pytest.raises(SchemaDriftError, match=r"revision\(message\)"):
        later.migrations.check()


def test_first_use_changes_nothing_where_revision_files_do(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")

    with pytest.raises(SchemaDriftError) as caught:
        db.create("Team", name="red")
    assert "revision files change this schema: run db.migrations.upgrade()" in str(caught.value)

    db.migrations.upgrade()
    db.create("Team", name="red")


def test_first_use_changes_nothing_in_a_database_with_a_version_wherever_the_files_are(
    open_db: Any, url: str
):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()

    with DataFlow(url, migrations_path="elsewhere") as other:
        second(other)
        with pytest.raises(SchemaDriftError, match="revision files change this schema"):
            other.count("Note")


def test_the_first_file_of_a_database_with_its_tables_makes_them_all(open_db: Any, tmp_path: Path):
    db = first(open_db())
    db.create("Team", name="red")

    made = db.migrations.revision("Initial schema")
    assert "op.create_table('teams'" in made.path.read_text()
    with pytest.raises(MigrationError, match=r"stamp\(\)"):
        db.migrations.revision("again")
    db.migrations.stamp()
    db.migrations.check()

    with DataFlow(f"sqlite:///{tmp_path}/other.db", migrations_path=tmp_path / "migrations") as new:
        first(new).migrations.upgrade()
        new.migrations.check()


def test_nothing_to_write_is_told_and_no_file_is_written(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()

    with pytest.raises(MigrationError) as caught:
        db.migrations.revision("again")

    assert str(caught.value) == (
        "the database equals the models, so there is nothing to write.\n"
        "  help: autogenerate=False writes an empty file\n  code: DF121"
    )
    assert len(db.migrations.history()) == 1


# ---------------------------------------------------------------------- losses


def shorter(db: DataFlow) -> DataFlow:
    @db.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)

    return db


def test_a_file_that_loses_data_is_written_only_when_it_may_and_then_says_so(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()
    db.create("Team", name="red")
    later = shorter(open_db())

    with pytest.raises(DataLossError, match=r"drop column teams\.name"):
        later.migrations.revision("No names")
    assert len(later.migrations.history()) == 1
    made = later.migrations.revision("No names", allow_drop=True)
    assert "allow_drop = True" in made.path.read_text()
    later.migrations.upgrade()

    assert not later.migrations.plan()
    later.migrations.downgrade("-1")
    assert [team["name"] for team in db.query("Team").all()] == [""]


def test_a_rename_is_never_written_as_a_drop_and_an_addition(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()

    @(later := open_db()).model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        title: str = Field(unique=True, max_length=50)

    with pytest.raises(DataLossError) as caught:
        later.migrations.revision("Titles")

    assert "renames={'teams.name': 'teams.title'}" in str(caught.value)


BATCH = "with op.batch_alter_table({}) as batch_op:\n        batch_op.{}"


@pytest.mark.parametrize(
    "body",
    [
        "op.drop_table('users')",
        "op.drop_column('users', 'colour')",
        BATCH.format("'users'", "drop_column('colour')"),
        BATCH.format("'users', recreate='always'", "drop_column('colour')"),
        BATCH.format(
            "'teams'",
            "alter_column('name', existing_type=sa.String(50), type_=sa.String(5))",
        ),
    ],
)
def test_a_loss_in_a_file_by_hand_is_refused_until_it_says_that_it_is_meant(
    open_db: Any, body: str
):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()
    made = written(db, f"def upgrade() -> None:\n    {body}")

    with pytest.raises(DataLossError) as caught:
        db.migrations.upgrade()
    assert f"in revision {made.id!r}" in str(caught.value)
    assert db.query("User").all() == []

    made.path.write_text(made.path.read_text() + "\nallow_drop = True\n")
    assert [revision.id for revision in db.migrations.upgrade()] == [made.id]


def test_a_downgrade_that_drops_what_was_added_must_be_allowed(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()
    db.create("Team", name="red")

    with pytest.raises(DataLossError, match="drop table users"):
        db.migrations.downgrade("base")

    assert db.count("Team") == 1


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Add kill_switches table", "_add_kill_switches_table"),
        ('../../etc/passwd\n\x00""" + 1/0 \\', "_etc_passwd_1_0"),
        ("Übergröße 日本語 %s %(rev)s", "_ubergroe_s_rev_s"),
        ("日本語", ""),
        ("x" * 300, "_" + "x" * 39),
    ],
)
def test_a_message_with_strange_letters_gives_a_safe_name(open_db: Any, message: str, name: str):
    db = first(open_db())

    made = db.migrations.revision(message, autogenerate=False)

    assert made.path.name == f"{made.id}{name}.py"
    assert db.migrations.history()[0].message == made.message
    assert db.migrations.upgrade()


def test_a_message_that_says_nothing_is_refused(open_db: Any):
    with pytest.raises(ParameterError, match="needs a message"):
        open_db().migrations.revision(" \n")


def test_without_files_the_error_says_how_to_begin(open_db: Any):
    with pytest.raises(MigrationError, match=r"db\.migrations\.revision\(message\)"):
        open_db().migrations.upgrade()


def test_an_unknown_revision_is_an_error_of_ours(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")

    for call in (db.migrations.upgrade, db.migrations.downgrade, db.migrations.stamp):
        with pytest.raises(MigrationError, match="can't locate revision identified by 'nope'"):
            call("nope")
    with pytest.raises(MigrationError):
        db.migrations.downgrade("-1")


def test_a_database_whose_revision_has_no_file_is_told(open_db: Any):
    db = first(open_db())
    made = db.migrations.revision("Initial schema")
    db.migrations.upgrade()
    made.path.rename(made.path.with_suffix(".bak"))

    for call in (db.migrations.upgrade, lambda: db.migrations.revision("more")):
        with pytest.raises(MigrationError, match="which has no file"):
            call()


def test_files_must_be_carried_out_before_the_next_is_generated(open_db: Any):
    db = first(open_db())
    made = db.migrations.revision("Initial schema")

    with pytest.raises(MigrationError) as caught:
        db.migrations.revision("more")

    assert f"the database is at no revision, and the files end at {made.id!r}" in str(caught.value)


def test_several_heads_must_be_named(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    left = db.migrations.revision("left", autogenerate=False)
    right = db.migrations.revision("right", autogenerate=False)
    text = right.path.read_text().replace(left.id, left.parents[0])
    right.path.write_text(text)

    for call in (db.migrations.upgrade, lambda: db.migrations.revision("x", autogenerate=False)):
        with pytest.raises(MigrationError, match=r"(?i)multiple head"):
            call()
    assert len(db.migrations.upgrade("heads")) == 3
    with pytest.raises(MigrationError, match="at 2 revisions"):
        db.migrations.current()
    db.migrations.check()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def (", "SyntaxError: invalid syntax"),
        ("undefined_name", "NameError: name 'undefined_name' is not defined"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named(open_db: Any, line: str, problem: str):
    db = first(open_db())
    made = written(db, "def upgrade() -> None:\n    pass", lines=line)

    with pytest.raises(MigrationError) as caught:
        db.migrations.upgrade()

    assert f"revision file {made.path.name!r} cannot be loaded: {problem}" in str(caught.value)


def test_a_file_that_fails_changes_nothing_even_of_the_files_before(open_db: Any):
    db = first(open_db())
    db.migrations.revision("Initial schema")
    made = written(db, "def upgrade() -> None:\n    raise ValueError('no luck')")

    with pytest.raises(MigrationError, match=f"revision '{made.id}' fails: ValueError: no luck"):
        db.migrations.upgrade()

    assert db.migrations.current() is None
    assert len(db.migrations.plan().changes) == 3


def test_a_statement_that_fails_is_the_error_of_the_database(open_db: Any):
    db = first(open_db())
    written(db, "def upgrade() -> None:\n    op.execute('SELECT * FROM nowhere')")

    with pytest.raises(SchemaDriftError, match="nowhere"):
        db.migrations.upgrade()


# ----------------------------------------------------------- what files must keep


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_a_file_keeps_triggers_and_indexes_on_expressions_on_sqlite(tmp_path: Path):
    folder = tmp_path / "migrations"
    db = first(DataFlow(f"sqlite:///{tmp_path}/test.db", migrations_path=folder))
    db.migrations.revision("Initial schema")
    db.migrations.upgrade()
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as plain:
        plain.execute(
            "CREATE TRIGGER t AFTER UPDATE ON teams BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
        plain.execute("CREATE INDEX lower_names ON teams (lower(name))")
    written(
        db,
        "def upgrade() -> None:\n    with op.batch_alter_table('teams') as batch_op:\n"
        "        batch_op.alter_column('name', type_=sa.String(90))",
    )

    db.migrations.upgrade()

    db.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as plain:
        names = {row[0] for row in plain.execute("SELECT name FROM sqlite_master")}
    assert names >= {"t", "lower_names"}


def test_composite_keys_and_links_are_compared_written_and_undone(open_db: Any):
    class Before(DeclarativeBase):
        pass

    class Place(Before):
        __tablename__ = "places"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        tenant: Mapped[str] = mapped_column(sa.String(20), server_default="acme")

    class Visit(Before):
        __tablename__ = "visits"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        place_id: Mapped[int] = mapped_column(sa.ForeignKey("places.id", name="fk_visits_place"))

    class After(DeclarativeBase):
        pass

    class NewPlace(After):
        __tablename__ = "places"
        tenant: Mapped[str] = mapped_column(sa.String(20), primary_key=True, server_default="acme")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    class NewVisit(After):
        __tablename__ = "visits"
        tenant: Mapped[str] = mapped_column(sa.String(20), primary_key=True, server_default="acme")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        place_id: Mapped[int]
        __table_args__ = (
            sa.ForeignKeyConstraint(
                ["tenant", "place_id"], ["places.tenant", "places.id"], name="fk_visits_place"
            ),
        )

    one, two = open_db(), open_db()
    for db, models in ((one, (Place, Visit)), (two, (NewPlace, NewVisit))):
        for model in models:
            db.model(model)
    one.migrations.revision("one key")
    one.migrations.upgrade()
    one.create("Place", id=1, tenant="acme")
    one.create("Visit", id=1, place_id=1)
    former = one.migrations.plan()

    made = two.migrations.revision("a key of two")
    two.migrations.upgrade()

    assert "['tenant', 'place_id'], ['tenant', 'id']" in made.path.read_text()
    assert not two.migrations.plan()
    assert two.read("NewVisit", {"tenant": "acme", "id": 1})["place_id"] == 1
    with pytest.raises(ForeignKeyViolationError):
        two.create("NewVisit", tenant="other", id=2, place_id=1)
    two.migrations.downgrade("-1", allow_drop=True)
    assert not former
    assert not one.migrations.plan()
    assert one.read("Visit", 1)["place_id"] == 1


def linked(db: DataFlow, *, tenants: bool) -> DataFlow:
    @db.model(multi_tenant=tenants, soft_delete=True)
    class Writer:
        id: int
        name: str = Field(unique=True)

    @db.model(multi_tenant=tenants)
    class Letter:
        id: int
        writer_id: int = Field(foreign_key="writers.id")

    return db


def test_models_of_tenants_are_compared_written_and_undone(open_db: Any):
    one = linked(open_db(), tenants=False)
    one.migrations.revision("one")
    one.migrations.upgrade()
    two = linked(open_db(), tenants=True)

    two.migrations.revision("tenants", allow_drop=True)
    two.migrations.upgrade()

    two.migrations.check()
    with two.tenant("acme"):
        writer = two.create("Writer", name="Ada")
        two.create("Letter", writer_id=writer["id"])
    with two.tenant("other"), pytest.raises(ForeignKeyViolationError):
        two.create("Letter", writer_id=writer["id"])
    two.migrations.downgrade("-1", allow_drop=True)
    assert not one.migrations.plan()
    assert one.count("Letter") == 1


def test_threads_that_upgrade_at_once_do_it_once(open_db: Any):
    first(open_db()).migrations.revision("Initial schema")
    programs = [first(open_db()) for _ in range(4)]
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda db=db: done.append(len(db.migrations.upgrade())))
        for db in programs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(done) == [0, 0, 0, 1]


def test_the_asynchronous_face_has_the_same_calls(open_db: Any):
    async def main() -> None:
        db = first(open_db())
        made = await db.aio.migrations.revision("Initial schema")
        assert [revision.id for revision in await db.aio.migrations.upgrade()] == [made.id]
        assert await db.aio.migrations.current() == made.id
        assert [revision.id for revision in await db.aio.migrations.history()] == [made.id]
        await db.aio.migrations.check()
        await db.aio.migrations.downgrade("-1", allow_drop=True)
        await db.aio.migrations.stamp("head")
        await db.aclose()

    asyncio.run(main())
