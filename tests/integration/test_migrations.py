"""Migrations: what changes is told first, done whole or not at all, and loses nothing unasked."""

from __future__ import annotations

import threading
import uuid
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import (
    DataFlowError,
    DataLossError,
    ParameterError,
    SchemaDriftError,
    UniqueViolationError,
)
from dataflow.portal import portal


def first_version(db: DataFlow) -> None:
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
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        __dataflow__ = {"timestamps": False, "indexes": [("name", "age")]}

    db.create_tables()
    team = db.create("Team", name="red")
    db.bulk_create("User", [{"name": f"u{n}", "age": n, "team_id": team["id"]} for n in range(5)])
    db.delete("User", 5)


def records(db: DataFlow) -> list[dict[str, Any]]:
    return list(db.query("User").sort("id").all())


def test_equal_schemas_need_no_migration(db: DataFlow):
    first_version(db)

    assert not db.migrations.plan()
    assert str(db.migrations.plan()) == "nothing to do"
    db.migrations.check()


def second_version(db: DataFlow) -> None:
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
        team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
        email: str = Field(default="none", max_length=80)
        __dataflow__ = {"timestamps": False}

    @db.model
    class Note:
        text: str


def test_a_plan_tells_what_changes_and_changes_nothing(db: DataFlow, later: DataFlow):
    first_version(db)
    second_version(later)

    plan = later.migrations.plan(renames={"users.name": "users.full_name"})

    kinds = {(change.kind, change.table, change.name) for change in plan.changes}
    assert kinds >= {
        ("rename column", "users", "name"),
        ("create table", "notes", None),
        ("add column", "users", "email"),
        ("alter column", "users", "age"),
        ("alter column", "teams", "name"),
        ("create index", "users", "ix_users_full_name"),
        ("drop index", "users", "ix_users_name_age"),
    }
    assert plan.losses == ()
    assert plan.statements
    assert not db.migrations.plan()


def test_applying_keeps_every_record_and_leaves_nothing_to_do(db: DataFlow, later: DataFlow):
    first_version(db)
    before = records(db)
    db.update("User", 1, {"age": None})
    second_version(later)

    later.migrations.apply(renames={"users.name": "users.full_name"})

    assert not later.migrations.plan()
    after = records(later)
    assert [record["full_name"] for record in after] == [record["name"] for record in before]
    assert [record["balance"] for record in after] == [Decimal("1.50")] * 4
    assert [record["team_id"] for record in after] == [record["team_id"] for record in before]
    assert {record["email"] for record in after} == {"none"}


def test_ids_are_not_used_again_after_a_table_was_built_anew(db: DataFlow, later: DataFlow):
    first_version(db)
    db.update("User", 1, {"age": 1})
    second_version(later)
    db.bulk_update("User", {"age": None}, {"age": 1})

    later.migrations.apply(renames={"users.name": "users.full_name"})

    assert later.create("User", full_name="new")["id"] == 6


def test_links_are_still_guarded_afterwards(db: DataFlow, later: DataFlow):
    first_version(db)
    db.bulk_update("User", {"age": None}, {"age": 1})
    second_version(later)
    later.migrations.apply(renames={"users.name": "users.full_name"})

    with pytest.raises(DataFlowError) as caught:
        later.create("User", full_name="x", team_id=uuid.uuid4())

    assert caught.value.code == "DF203"


def test_a_rename_is_asked_for_and_never_guessed(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class User:
        id: int
        full_name: str = "?"
        age: int | None = None
        balance: Decimal = Decimal("1.50")
        team_id: uuid.UUID | None = None
        __dataflow__ = {"timestamps": False}

    with pytest.raises(DataLossError) as caught:
        later.migrations.apply()

    assert "drop column users.name" in caught.value.problem_text()
    assert "renames={'users.name': 'users.full_name'}" in str(caught.value)
    assert len(records(db)) == 4


def test_what_is_lost_must_be_allowed(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class User:
        id: int
        age: int | None = None
        team_id: uuid.UUID | None = None
        __dataflow__ = {"timestamps": False}

    plan = later.migrations.plan()
    assert {change.name for change in plan.losses} == {"name", "balance"}

    later.migrations.apply(allow_drop=True)

    assert sorted(records(later)[0]) == ["age", "id", "team_id"]
    assert not later.migrations.plan()


def test_tables_without_a_model_are_left_alone_unless_named(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=50)

    assert not later.migrations.plan()
    with pytest.raises(DataLossError):
        later.migrations.apply(drop_tables=["users"])
    done = later.migrations.apply(drop_tables=["users"], allow_drop=True)

    assert ("drop table", "users") in [(change.kind, change.table) for change in done.changes]


def test_a_table_is_renamed(db: DataFlow, later: DataFlow):
    @db.model
    class Person:
        name: str
        __dataflow__ = {"timestamps": False}

    db.create("Person", name="Ada")

    @later.model
    class Human:
        name: str
        __dataflow__ = {"timestamps": False}

    later.migrations.apply(renames={"people": "humans"})

    assert later.query("Human").all() == [{"id": 1, "name": "Ada"}]
    assert not later.migrations.plan()


@pytest.mark.parametrize(
    ("renames", "kind"),
    [
        ({"users.nam": "users.full_name"}, SchemaDriftError),
        ({"user": "humans"}, SchemaDriftError),
        ({"users": "a.b"}, ParameterError),
    ],
)
def test_a_wrong_rename_names_the_nearest(
    db: DataFlow, renames: dict[str, str], kind: type[Exception]
):
    first_version(db)

    with pytest.raises(kind):
        db.migrations.plan(renames=renames)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"renames": 5}, "renames must be a dict from old names to new ones, not 5."),
        ({"renames": ["x"]}, "renames must be a dict from old names to new ones, not ['x']."),
        ({"renames": {5: "a"}}, "renames must be a dict from old names to new ones, not {5: 'a'}."),
        ({"renames": {"a": 5}}, "renames must be a dict from old names to new ones, not {'a': 5}."),
        ({"drop_tables": 5}, "drop_tables must be a list of names, not 5."),
        ({"drop_tables": [5]}, "drop_tables must be a list of names, not [5]."),
    ],
    ids=str,
)
def test_arguments_in_another_shape_are_refused(
    memory: DataFlow, options: dict[str, Any], problem: str
):
    migrations = memory.migrations
    for call in (migrations.plan, migrations.apply, partial(migrations.revision, "x")):
        with pytest.raises(ParameterError) as caught:
            call(**options)

        assert caught.value.problem_text() == problem


@pytest.mark.parametrize("call", ["revision", "upgrade", "downgrade", "stamp"])
def test_a_message_or_a_revision_that_is_no_text_is_refused(memory: DataFlow, call: str):
    with pytest.raises(ParameterError, match="must be a text, not 5"):
        getattr(memory.migrations, call)(5)


@pytest.mark.parametrize(
    ("renames", "taken"),
    [
        ({"users.name": "users.age", "users.age": "users.name"}, "users.age"),
        ({"users.name": "users.age"}, "users.age"),
        ({"users": "teams", "users.name": "users.full_name"}, "teams"),
        ({"users": "humans", "users.name": "humans.x", "users.age": "humans.x"}, "users.x"),
    ],
    ids=str,
)
def test_a_new_name_that_is_taken_is_refused(db: DataFlow, renames: dict[str, str], taken: str):
    first_version(db)

    with pytest.raises(SchemaDriftError, match=f"'{taken}' exists already"):
        db.migrations.plan(renames=renames)


def test_a_column_is_not_renamed_into_another_table(db: DataFlow):
    first_version(db)

    with pytest.raises(ParameterError, match="a column stays in its table"):
        db.migrations.plan(renames={"users.name": "teams.label"})


def test_a_name_is_free_as_soon_as_its_column_has_another(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class User:
        id: int
        label: str
        name: int | None = None

    renames = {"users.name": "users.label", "users.age": "users.name"}
    later.migrations.apply(renames=renames, allow_drop=True)

    assert [(user["label"], user["name"]) for user in records(later)][:2] == [("u0", 0), ("u1", 1)]


def test_one_table_to_drop_is_named_by_a_text(db: DataFlow, later: DataFlow):
    first_version(db)

    assert [str(loss) for loss in later.migrations.plan(drop_tables="users").losses]


def test_a_migration_that_fails_changes_nothing(db: DataFlow, later: DataFlow):
    first_version(db)
    db.update("User", 1, {"name": "u1"})

    @later.model
    class User:
        id: int
        name: str = Field(unique=True)
        age: int | None = None
        balance: Decimal = Decimal("1.50")
        team_id: uuid.UUID | None = None
        extra: str = "x"
        __dataflow__ = {"timestamps": False}

    with pytest.raises(DataFlowError):
        later.migrations.apply()

    assert sorted(records(db)[0]) == ["age", "balance", "id", "name", "team_id"]
    assert [record["name"] for record in records(db)] == ["u1", "u1", "u2", "u3"]


def third_version(db: DataFlow) -> None:
    @db.model
    class User:
        id: int
        name: str
        age: int = 7
        balance: Decimal = Decimal("1.50")
        team_id: uuid.UUID | None = None
        email: str = Field(default="none", max_length=80, index=True)
        __dataflow__ = {"timestamps": False}


def test_processes_that_migrate_at_once_do_it_once(db: DataFlow):
    first_version(db)
    failures: list[BaseException] = []
    done: list[int] = []

    def migrate() -> None:
        try:
            with DataFlow(db.config.database_url, auto_migrate=False) as mine:
                third_version(mine)
                done.append(len(mine.migrations.apply().changes))
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(map(bool, done)) == [False, False, False, True]


def test_alembic_sees_the_models_through_the_metadata(db: DataFlow):
    first_version(db)

    assert {"teams", "users"} <= set(db.metadata.tables)


def test_the_asynchronous_face_plans_too(db: DataFlow):
    first_version(db)

    assert not portal.call(db.aio.migrations.plan())


def test_a_default_reaches_old_records_as_it_is_written(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class User:
        id: int
        name: str
        age: int | None = None
        balance: Decimal = Decimal("1.50")
        team_id: uuid.UUID | None = None
        note: str = "50% off, it's %(x)s :y"
        __dataflow__ = {"timestamps": False}

    later.migrations.apply()

    assert {record["note"] for record in records(later)} == {"50% off, it's %(x)s :y"}


@pytest.mark.parametrize("field", ["kind", "tenant_id"])
def test_a_column_that_old_records_have_no_value_for_is_refused(
    db: DataFlow, later: DataFlow, field: str
):
    first_version(db)

    @later.model(timestamps=False, multi_tenant=field == "tenant_id")
    class User:
        name: str
        if field == "kind":
            kind: str

    with pytest.raises(SchemaDriftError) as refused:
        later.migrations.apply(allow_drop=True)

    problem = f"nothing says what {field!r} of the existing records of 'User' is."
    assert str(refused.value).splitlines() == [
        f"the database does not match the models: {problem}",
        "  help: add the column by a revision file of db.migrations, which says so",
        "  code: DF209",
    ]
    assert len(records(db)) == 4


def test_a_rename_that_another_process_made_is_no_error(db: DataFlow, later: DataFlow):
    first_version(db)
    second_version(later)
    renames = {"users.name": "users.full_name"}
    later.migrations.apply(renames=renames)

    assert later.migrations.apply(renames=renames).changes == ()


def test_a_value_is_converted_to_a_type_of_another_family_with_its_default(
    db: DataFlow, later: DataFlow
):
    first_version(db)
    db.bulk_update("User", {"age": {"$ne": None}}, {"name": "12"})

    @later.model
    class User:
        id: int
        name: int = 3
        age: str = "none"
        balance: Decimal = Decimal("1.50")
        team_id: uuid.UUID | None = None
        __dataflow__ = {"timestamps": False, "indexes": [("name", "age")]}

    later.migrations.apply(allow_drop=True)

    assert {(type(r["name"]), r["name"], type(r["age"])) for r in records(later)} == {
        (int, 12, str)
    }
    added = later.create("User", team_id=None)
    assert (added["name"], added["age"]) == (3, "none")


def test_a_new_column_gets_its_foreign_key_once(db: DataFlow, later: DataFlow):
    first_version(db)

    @later.model
    class Badge:
        id: int

    @later.model
    class Team:
        id: uuid.UUID = Field(primary_key=True)
        name: str = Field(unique=True, max_length=50)
        badge_id: int | None = Field(default=None, foreign_key="badges.id")

    statements = later.migrations.plan().statements

    assert sum("badges" in text and "REFERENCES" in text for text in statements) == 1


def unique_emails(db: DataFlow, *, soft_delete: bool, of_tenants: bool) -> None:
    @db.model(multi_tenant=of_tenants, soft_delete=soft_delete, timestamps=False)
    class Member:
        email: str = Field(unique=True)


def migrate(db: DataFlow, way: str) -> None:
    if way == "apply":
        db.migrations.apply(allow_drop=True)
    else:
        db.migrations.revision("changed", allow_drop=True)
        db.migrations.upgrade(allow_drop=True)


@pytest.mark.parametrize("way", ["apply", "files"])
@pytest.mark.parametrize("of_tenants", [True, False])
def test_values_stay_unique_when_records_are_deleted_for_good_from_now_on(
    db: DataFlow, later: DataFlow, way: str, *, of_tenants: bool
):
    unique_emails(db, soft_delete=True, of_tenants=of_tenants)
    with db.tenant("acme"):
        db.create("Member", email="a")
    unique_emails(later, soft_delete=False, of_tenants=of_tenants)

    migrate(later, way)

    assert not later.migrations.plan()
    with later.tenant("acme"), pytest.raises(UniqueViolationError):
        later.create("Member", email="a")


@pytest.mark.parametrize("way", ["apply", "files"])
@pytest.mark.parametrize("of_tenants", [True, False])
def test_values_of_deleted_records_are_free_when_these_are_kept_from_now_on(
    db: DataFlow, later: DataFlow, way: str, *, of_tenants: bool
):
    unique_emails(db, soft_delete=False, of_tenants=of_tenants)
    with db.tenant("acme"):
        db.create("Member", email="a")
    unique_emails(later, soft_delete=True, of_tenants=of_tenants)

    migrate(later, way)

    assert not later.migrations.plan()
    with later.tenant("acme"):
        later.delete("Member", 1)
        later.create("Member", email="a")
        with pytest.raises(UniqueViolationError):
            later.create("Member", email="a")


@pytest.mark.parametrize("soft_delete", [True, False])
def test_a_file_that_changes_whose_values_are_unique_is_undone(open_db: Any, *, soft_delete: bool):
    before, after = open_db(auto_migrate=False), open_db(auto_migrate=False)
    unique_emails(before, soft_delete=soft_delete, of_tenants=True)
    migrate(before, "files")
    unique_emails(after, soft_delete=not soft_delete, of_tenants=True)
    migrate(after, "files")

    after.migrations.downgrade("-1", allow_drop=True)

    assert not before.migrations.plan()
