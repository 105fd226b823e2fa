"""Tables and columns: made at first use, added to, checked, and reflected."""

import contextlib
import datetime as dt
import enum
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import (
    AnnotationError,
    DatabaseError,
    DuplicateModelError,
    OptionError,
    SchemaDriftError,
)
from dataflow.models.mixins import CorrelationMixin, TenantMixin
from dataflow.portal import portal

Open = Callable[..., DataFlow]


def on_connection(db: DataFlow, work: Callable[[sa.Connection], Any]) -> Any:
    async def run() -> Any:
        engine = db.database.driver.create_engine(pooled=False)
        async with engine.connect() as connection:
            result = await connection.run_sync(work)
            await connection.commit()
        await engine.dispose()
        return result

    return portal.call(run())


def tables(db: DataFlow) -> list[str]:
    return sorted(
        name
        for name in on_connection(db, lambda c: sa.inspect(c).get_table_names())
        if not name.startswith("sqlite_")
    )


def run_sql(db: DataFlow, *statements: str) -> None:
    def work(connection: sa.Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    on_connection(db, work)


def test_nothing_is_created_before_the_first_use(db: DataFlow):
    @db.model
    class User:
        id: int

    @db.model
    class Post:
        id: int
        user_id: int = Field(foreign_key="users.id")

    assert tables(db) == []

    db.count("User")

    assert tables(db) == ["posts", "users"]


def test_tables_may_be_created_in_advance(db: DataFlow):
    @db.model
    class User:
        id: int

    db.create_tables()
    db.create_tables()

    assert tables(db) == ["users"]


def test_a_model_declared_later_gets_its_table_too(db: DataFlow):
    @db.model(timestamps=False)
    class User:
        id: int

    db.create("User", {})

    @db.model(timestamps=False)
    class Post:
        id: int
        user_id: int = Field(foreign_key=User)

    assert db.create("Post", {"user_id": 1}) == {"id": 1, "user_id": 1}
    assert tables(db) == ["posts", "users"]


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


ADDED: dict[str, tuple[Any, Any, Any]] = {
    "int": (int, 5, 5),
    "negative int": (int, -5, -5),
    "float": (float, 0.1, 0.1),
    "bool": (bool, True, True),
    "str": (str, "it's 100% \\ :x 😀", "it's 100% \\ :x 😀"),
    "empty str": (str, "", ""),
    "bytes": (bytes, b"\x00\xff", b"\x00\xff"),
    "Decimal": (Decimal, Decimal("1.50"), Decimal("1.50")),
    "date": (dt.date, dt.date(2024, 1, 2), dt.date(2024, 1, 2)),
    "time": (dt.time, dt.time(1, 2, 3), dt.time(1, 2, 3)),
    "datetime": (
        dt.datetime, dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    ),
    "naive datetime": (
        dt.datetime, dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
    ),
    "timedelta": (dt.timedelta, dt.timedelta(days=1, seconds=2), dt.timedelta(days=1, seconds=2)),
    "UUID": (uuid.UUID, uuid.UUID(int=5), uuid.UUID(int=5)),
    "Enum": (Color, Color.RED, Color.RED),
    "IntEnum": (Level, Level.LOW, Level.LOW),
    "list": (list, ["it's", 1], ["it's", 1]),
    "dict": (dict, {"a": "100%"}, {"a": "100%"}),
    "Optional": (int | None, None, None),
    "Optional with a default": (str | None, "x", "x"),
}  # fmt: skip


@pytest.mark.parametrize(("annotation", "default", "stored"), ADDED.values(), ids=ADDED)
def test_a_missing_column_is_added_with_its_default(
    open_db: Open, annotation: Any, default: Any, stored: Any
):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Thing:
        id: int

    before.create("Thing", {})

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version of the program
    class Thing:
        id: int
        value: annotation = default  # type: ignore[valid-type]  # a parameter of the test

    assert after.list("Thing")["records"] == [{"id": 1, "value": stored}]
    assert after.create("Thing", {}) == {"id": 2, "value": stored}


def test_added_columns_keep_their_constraints_and_indexes(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Team:
        id: int

    @before.model(timestamps=False)
    class User:
        id: int

    before.create("User", {})
    before.create("Team", {})

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version of the program
    class Team:
        id: int

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version of the program
    class User:
        id: int
        email: str | None = Field(default=None, unique=True)
        age: int = Field(default=3, index=True)
        team_id: int | None = Field(default=None, foreign_key=Team)

    after.create("User", {"email": "a@x", "team_id": 1})

    with pytest.raises(Exception) as unique:
        after.create("User", {"email": "a@x"})
    with pytest.raises(Exception) as foreign:
        after.create("User", {"team_id": 99})

    assert (unique.value.code, foreign.value.code) == ("DF202", "DF203")
    indexes = on_connection(after, lambda c: sa.inspect(c).get_indexes("users"))
    assert "ix_users_age" in {index["name"] for index in indexes}
    assert after.list("User", fields=["id", "email", "age", "team_id"])["records"] == [
        {"id": 1, "email": None, "age": 3, "team_id": None},
        {"id": 2, "email": "a@x", "age": 3, "team_id": 1},
    ]


def test_options_that_add_columns_may_be_turned_on_later(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Note:
        id: int

    before.create("Note", {})

    @after.model(soft_delete=True, versioned=True)  # type: ignore[no-redef]  # the next version
    class Note:
        id: int

    record = after.read("Note", 1)

    assert list(record) == ["id", "created_at", "updated_at", "deleted_at", "version"]
    assert (record["version"], record["deleted_at"]) == (1, None)
    assert record["created_at"].tzinfo is not None
    assert after.delete("Note", 1) is True


def test_a_default_factory_fills_existing_records(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Note:
        id: int

    before.create("Note", {})

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version
    class Note:
        id: int
        tags: list = Field(default_factory=list)

    assert after.read("Note", 1) == {"id": 1, "tags": []}


def test_a_required_column_without_a_default_is_refused(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Note:
        id: int

    before.create("Note", {})

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version
    class Note:
        id: int
        text: str

    for _ in range(2):
        with pytest.raises(SchemaDriftError) as caught:
            after.read("Note", 1)

        assert str(caught.value) == (
            "the database does not match the models: column notes.text is missing, and field "
            "'text' of 'Note' is required and has no default.\n"
            "  help: give Note.text a default, or allow None\n"
            "  code: DF209"
        )
    assert before.read("Note", 1) == {"id": 1}


def plain_notes(db: DataFlow, *, of_tenants: bool) -> None:
    @db.model(timestamps=False, multi_tenant=of_tenants)
    class Note:
        id: int
        text: str


def declared_notes(db: DataFlow, *, of_tenants: bool) -> None:
    class Base(DeclarativeBase):
        pass

    class Note(*((TenantMixin, CorrelationMixin) if of_tenants else ()), Base):  # type: ignore[misc]  # two versions
        __tablename__ = "notes"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    db.model(Note)


NOTES = pytest.mark.parametrize("notes", [plain_notes, declared_notes])


@NOTES
def test_records_without_a_tenant_become_nobodys(open_db: Open, notes: Callable[..., None]):
    before, after = open_db(), open_db()
    notes(before, of_tenants=False)
    before.create("Note", {"text": "old"})
    notes(after, of_tenants=True)

    with after.tenant("acme"), after.acting("ada", "request 1"):
        for call in (after.create_tables, after.migrations.apply):
            with pytest.raises(DatabaseError):
                call()
        with pytest.raises(SchemaDriftError) as caught:
            after.list("Note")

    assert str(caught.value) == (
        "the database does not match the models: column notes.tenant_id is missing, and nothing "
        "says what 'tenant_id' of the existing records of 'Note' is.\n"
        "  help: add the column by a revision file of db.migrations, which says so\n"
        "  code: DF209"
    )
    assert before.read("Note", 1) == {"id": 1, "text": "old"}


@NOTES
def test_an_empty_table_may_become_one_that_tenants_share(
    open_db: Open, notes: Callable[..., None]
):
    before, after = open_db(), open_db()
    notes(before, of_tenants=False)
    before.create_tables()
    notes(after, of_tenants=True)

    with after.tenant("acme"), after.acting("ada", "request 1"):
        after.create("Note", {"text": "mine"})
    with after.tenant("globex"):
        after.create("Note", {"text": "theirs"})

    with after.all_tenants():
        found = after.list("Note", sort="id")["records"]
    assert [record["tenant_id"] for record in found] == ["acme", "globex"]
    assert [record.get("correlation_id") for record in found][1:] == [None]


def test_a_column_that_becomes_a_part_of_the_key_is_refused(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Page:
        slug: str = Field(primary_key=True)

    before.create_tables()

    @after.model(timestamps=False, multi_tenant=True)  # type: ignore[no-redef]  # the next version
    class Page:
        slug: str = Field(primary_key=True)

    with pytest.raises(SchemaDriftError, match="is a part of the key of 'Page'"):
        after.create_tables()
    after.migrations.apply()
    with after.tenant("acme"):
        after.create("Page", {"slug": "a"})
    with after.tenant("globex"):
        after.create("Page", {"slug": "a"})


def test_columns_that_no_field_has_are_left_alone(open_db: Open):
    before, after = open_db(), open_db()

    @before.model(timestamps=False)
    class Note:
        id: int
        text: str | None
        more: str = "x"

    before.create("Note", {"text": "kept"})

    @after.model(timestamps=False)  # type: ignore[no-redef]  # the next version
    class Note:
        id: int
        text: str | None

    after.update("Note", 1, {"text": "changed"})
    created = after.create("Note", {"text": "new"})

    assert created == {"id": 2, "text": "new"}
    assert before.read("Note", 1) == {"id": 1, "text": "changed", "more": "x"}


def test_a_foreign_key_to_an_unknown_table_is_refused_at_first_use(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: int

    @memory.model(timestamps=False)
    class Post:
        id: int
        user_id: int = Field(foreign_key="user.id")

    with pytest.raises(AnnotationError) as caught:
        memory.create("Post", {"user_id": 1})

    text = str(caught.value).split("\n")
    assert text[0] == (
        "field 'user_id' of model 'Post': its foreign key leads to table 'user', "
        "which no model has."
    )
    assert text[1].startswith(f"  at: {__file__}:")
    assert text[2:] == ["  help: did you mean 'users'?", "  code: DF105"]


def test_a_foreign_key_to_an_unknown_column_is_refused_at_first_use(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: int

    @memory.model(timestamps=False)
    class Post:
        id: int
        user_id: int = Field(foreign_key="users.idd")

    with pytest.raises(AnnotationError) as caught:
        memory.create("Post", {"user_id": 1})

    assert caught.value.problem_text() == (
        "field 'user_id' of model 'Post': its foreign key leads to users.idd, which does not exist."
    )


# -------------------------------------------------------------- no schema is written


def test_existing_schema_mode_works_on_what_is_there(open_db: Open):
    maker, user = open_db(), open_db(existing_schema_mode=True)
    for db in (maker, user):

        @db.model(timestamps=False)
        class Note:
            id: int
            text: str | None

    maker.create("Note", {"text": "a"})

    assert user.read("Note", 1) == {"id": 1, "text": "a"}
    assert user.create("Note", {"text": "b"}) == {"id": 2, "text": "b"}


def test_existing_schema_mode_names_all_that_is_missing_and_writes_nothing(open_db: Open):
    maker, user = open_db(), open_db(existing_schema_mode=True)

    @maker.model(timestamps=False)
    class Note:
        id: int

    maker.create("Note", {})

    @user.model(timestamps=False)  # type: ignore[no-redef]  # another program's view
    class Note:
        id: int
        text: str | None
        more: int = 5

    @user.model(timestamps=False)
    class Tag:
        id: int

    for _ in range(2):
        with pytest.raises(SchemaDriftError) as caught:
            user.read("Note", 1)

        assert str(caught.value) == (
            "the database does not match the models: table 'tags' is missing; column notes.text "
            "is missing; column notes.more is missing.\n"
            "  help: existing_schema_mode never writes schema: create it, or correct the models\n"
            "  code: DF209"
        )
    assert tables(maker) == ["notes"]
    columns = on_connection(maker, lambda c: sa.inspect(c).get_columns("notes"))
    assert [column["name"] for column in columns] == ["id"]


def test_without_auto_migrate_nothing_is_created(open_db: Open):
    db = open_db(auto_migrate=False)

    @db.model(timestamps=False)
    class Note:
        id: int

    with pytest.raises(SchemaDriftError) as caught:
        db.read("Note", 1)

    assert "notes" in caught.value.problem_text()
    assert tables(db) == []


def test_without_auto_migrate_existing_tables_work(open_db: Open):
    maker, user = open_db(), open_db(auto_migrate=False)
    for db in (maker, user):

        @db.model(timestamps=False)
        class Note:
            id: int

    maker.create_tables()

    assert user.create("Note", {}) == {"id": 1}


def test_many_threads_may_use_new_models_at_once(open_db: Open):
    databases = [open_db() for _ in range(4)]
    for db in databases:

        @db.model(timestamps=False)
        class Note:
            text: str

    errors: list[BaseException] = []
    gate = threading.Barrier(8)

    def work(db: DataFlow) -> None:
        gate.wait()
        try:
            db.create("Note", {"text": "x"})
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(db,)) for db in databases * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert databases[0].count("Note") == 8


# ------------------------------------------------------------------------- reflect


@pytest.fixture
def legacy(db: DataFlow) -> DataFlow:
    serial = "INTEGER PRIMARY KEY" if db.database.driver.name == "sqlite" else "SERIAL PRIMARY KEY"
    run_sql(
        db,
        f"CREATE TABLE authors (id {serial}, full_name VARCHAR(50) NOT NULL, born DATE, "
        "rating NUMERIC(5, 2), active BOOLEAN DEFAULT true NOT NULL)",
        f"CREATE TABLE books (book_id {serial}, title TEXT NOT NULL UNIQUE, "
        "author_id INTEGER REFERENCES authors (id))",
        "CREATE TABLE links (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "CREATE TABLE keyless (a INTEGER)",
    )
    return db


def test_reflected_tables_become_models(legacy: DataFlow):
    author, book, link = legacy.reflect("authors", "books", "links")

    created = legacy.create(
        "Author", {"full_name": "Ada", "born": "1815-12-10", "rating": Decimal("4.25")}
    )
    second = legacy.create("Book", {"title": "Notes", "author_id": 1})
    third = legacy.create("Link", {"a": 1, "b": 2})

    assert [model.__name__ for model in (author, book, link)] == ["Author", "Book", "Link"]
    assert legacy.list_models() == ["Author", "Book", "Link"]
    assert created == {
        "id": 1, "full_name": "Ada", "born": dt.date(1815, 12, 10), "rating": Decimal("4.25"),
        "active": True,
    }  # fmt: skip
    assert second == {"book_id": 1, "title": "Notes", "author_id": 1}
    assert third == {"a": 1, "b": 2}
    assert legacy.read("books", 1) == second


def test_reflected_models_have_nodes_and_constraints(legacy: DataFlow):
    legacy.reflect("authors", "books")
    legacy.create("Author", {"full_name": "Ada"})
    legacy.create("Book", {"title": "Notes", "author_id": 1})

    with pytest.raises(Exception) as unique:
        legacy.create("Book", {"title": "Notes"})
    with pytest.raises(Exception) as required:
        legacy.create("Author", {})
    with pytest.raises(Exception) as long:
        legacy.create("Author", {"full_name": "x" * 51})

    codes = [caught.value.code for caught in (unique, required, long)]
    assert codes == ["DF202", "DF201", "DF201"]
    assert legacy.bulk_upsert("Book", [{"title": "Notes", "author_id": None}],
                              conflict_on="title")["updated"] == 1  # fmt: skip
    assert len(legacy.get_generated_nodes("Author")) == 9


def test_reflecting_a_table_that_does_not_exist_is_refused(legacy: DataFlow):
    with pytest.raises(SchemaDriftError) as caught:
        legacy.reflect("nothing_here")

    assert "nothing_here" in caught.value.problem_text()


def test_reflecting_a_table_without_a_key_is_refused(legacy: DataFlow):
    with pytest.raises(OptionError) as caught:
        legacy.reflect("keyless")

    assert str(caught.value) == (
        "model 'Keyless': table 'keyless' has no primary key.\n  code: DF114"
    )


def test_reflecting_twice_is_refused_or_the_same(legacy: DataFlow):
    legacy.reflect("authors")

    with contextlib.suppress(DuplicateModelError):
        legacy.reflect("authors")

    assert legacy.list_models() == ["Author"]
