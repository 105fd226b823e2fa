"""Revision files hold triggers and the audit log: `upgrade` alone makes a schema whole."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import AppendOnlyError, DataLossError, SchemaDriftError
from dataflow.portal import portal

pytestmark = pytest.mark.long

Open = Callable[..., DataFlow]


@pytest.fixture
def open_db(url: str, tmp_path: Path) -> Iterator[Open]:
    """Opens the database as another version of the program does."""
    opened: list[DataFlow] = []

    def make(address: str = url, **settings: Any) -> DataFlow:
        settings = {"migrations_path": tmp_path / "migrations", **settings}
        opened.append(DataFlow(address, **settings))
        return opened[-1]

    yield make
    for db in opened:
        db.close()


def first(db: DataFlow) -> DataFlow:
    """One model of each kind that triggers watch."""

    @db.model(audit=True, timestamps=False)
    class Account:
        owner: str
        pin: str = Field("none", secret=True)

    @db.model(append_only=True, timestamps=False)
    class Event:
        text: str

    return db


def second(db: DataFlow) -> DataFlow:
    """The next version: columns renamed, added and of another type."""

    @db.model(audit=True, timestamps=False)
    class Account:
        holder: str
        pin: str = Field("none", secret=True)
        balance: int = 7

    @db.model(append_only=True, timestamps=False)
    class Event:
        text: str
        level: int = 3

    return db


RENAMES = {"accounts.owner": "accounts.holder"}


def run(db: DataFlow, sql: str) -> list[Any]:
    """Run raw SQL as any caller of the driver would."""
    found: list[Any] = portal.call(db.database.fetch(sql, (), write=True))
    return found


def ours(db: DataFlow) -> list[str]:
    """Return the names of all that is ours in the database, whatever it is."""
    sql = (
        "SELECT name FROM sqlite_master WHERE name LIKE 'dataflow%' ORDER BY 1"
        if db.database.driver.name == "sqlite"
        else "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'dataflow%' "
        "UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'dataflow%' "
        "UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE 'dataflow%' ORDER BY 1"
    )
    return [row[0] for row in run(db, sql)]


def upgraded(db: DataFlow, message: str, **options: Any) -> str:
    """Generate a file, carry it out and return its text."""
    made = db.migrations.revision(message, **options)
    db.migrations.upgrade()
    return made.path.read_text()


def test_after_the_upgrade_of_an_empty_database_nothing_is_missing(open_db: Open):
    db = first(open_db())

    upgraded(db, "Initial schema")

    db.migrations.check()
    assert not db.migrations.plan()
    account = db.create("Account", owner="Ada")
    db.update("Account", account["id"], {"owner": "Eve"})
    assert [entry.action for entry in db.audit.get_recent_activity()] == ["update", "create"]
    assert db.audit.verify().ok
    db.create("Event", text="x")
    with pytest.raises(AppendOnlyError):
        run(db, "DELETE FROM events")
    with pytest.raises(AppendOnlyError):
        run(db, "DELETE FROM dataflow_audit_log")


def test_what_files_make_is_what_the_first_use_makes(open_db: Open, url: str, tmp_path: Path):
    db = first(open_db())
    upgraded(db, "Initial schema")
    by_files = ours(db)
    db.migrations.downgrade("base", allow_drop=True)
    run(db, "DROP TABLE alembic_version")
    used = first(open_db(migrations_path=tmp_path / "none"))

    used.create_tables()

    assert ours(used) == by_files


def test_the_way_back_of_the_first_file_leaves_nothing_behind(open_db: Open):
    db = first(open_db())
    upgraded(db, "Initial schema")
    db.create("Account", owner="Ada")

    with pytest.raises(DataLossError):
        db.migrations.downgrade("base")
    db.migrations.downgrade("base", allow_drop=True)

    assert ours(db) == []
    db.migrations.upgrade()
    db.migrations.check()


def test_a_model_that_changes_gets_its_new_triggers_and_the_old_ones_back(open_db: Open):
    one = first(open_db())
    upgraded(one, "Initial schema")
    before = ours(one)
    one.create("Account", owner="Ada")
    one.create("Event", text="x")
    two = second(open_db())

    text = upgraded(two, "Balances", renames=RENAMES)

    two.migrations.check()
    two.update("Account", 1, {"balance": 8})
    assert two.audit.get_recent_activity()[0].changed == {"balance": (7, 8)}
    assert two.audit.verify().ok
    assert two.read("Event", 1)["level"] == 3
    with pytest.raises(AppendOnlyError):
        run(two, "UPDATE events SET level = 1")
    assert "CREATE TABLE dataflow_audit" not in text
    assert "dataflow_audit_own_head" not in text

    two.migrations.downgrade("-1", allow_drop=True)

    assert ours(one) == before
    again = first(open_db())
    assert not again.migrations.plan()
    again.update("Account", 1, {"owner": "Eve"})
    assert again.audit.get_recent_activity()[0].changed == {"owner": ("Ada", "Eve")}
    assert again.audit.verify().ok
    with pytest.raises(AppendOnlyError):
        run(again, "DELETE FROM events")


def test_a_file_says_all_that_it_does_and_asks_no_library(open_db: Open):
    db = first(open_db())

    text = db.migrations.revision("Initial schema").path.read_text()

    assert f"if op.get_context().dialect.name == '{db.database.driver.name}':" in text
    assert "op.create_table('dataflow_audit_log'" in text
    assert "CREATE TRIGGER dataflow_guard_" in text
    imports = {line for line in text.splitlines() if "import" in line}
    assert {line for line in imports if "dataflow" in line} == {
        "from dataflow.models import columntypes"
    }


def test_a_model_is_audited_from_a_later_file_on(open_db: Open):
    def declare(db: DataFlow, **options: Any) -> DataFlow:
        @db.model(timestamps=False, **options)
        class Account:
            owner: str

        return db

    one = declare(open_db())
    upgraded(one, "Initial schema")
    one.create("Account", owner="Ada")
    two = declare(open_db(), audit=True)

    with pytest.raises(SchemaDriftError, match=r"missing.*\n.*run db.migrations.upgrade\(\)"):
        two.count("Account")
    upgraded(two, "Audit")

    two.migrations.check()
    two.delete("Account", 1)
    assert two.audit.verify().ok
    three = declare(open_db())
    with pytest.raises(DataLossError, match="drop trigger"):
        three.migrations.revision("No audit")
    upgraded(three, "No audit", allow_drop=True)
    three.migrations.check()
    three.migrations.downgrade("-1")
    assert not two.migrations.plan()
    two.migrations.downgrade("-1", allow_drop=True)
    assert ours(one) == []
    assert not one.migrations.plan()


def test_functions_of_another_version_are_replaced_and_come_back(
    postgres_databases: Any, open_db: Open
):
    address = postgres_databases.create()
    one = first(open_db(address))
    upgraded(one, "Initial schema")
    run(one, "ALTER FUNCTION dataflow_audit_own_head SET enable_seqscan = off")

    @(two := first(open_db(address))).model(audit=True)
    class Note:
        text: str

    text = upgraded(two, "Notes")

    assert "FUNCTION public.dataflow_audit_own_head" in text.partition("def downgrade")[0]
    assert "FUNCTION public.dataflow_audit_head(" not in text
    settings = "SELECT proconfig FROM pg_proc WHERE proname = 'dataflow_audit_own_head'"
    assert run(two, settings)[0][0] is None
    two.migrations.downgrade("-1", allow_drop=True)
    assert run(two, settings)[0][0] == ["enable_seqscan=off"]


def test_a_table_that_goes_takes_its_triggers_along_and_brings_them_back(open_db: Open):
    one = first(open_db())
    upgraded(one, "Initial schema")
    before = ours(one)

    @(two := open_db()).model(append_only=True, timestamps=False)
    class Event:
        text: str

    upgraded(two, "No accounts", drop_tables=["accounts"], allow_drop=True)

    two.migrations.check()
    assert not [name for name in ours(two) if re.search("guard_.*_audit", name)]
    two.migrations.downgrade("-1")
    assert ours(one) == before
    one.create("Account", owner="Ada")
    assert one.audit.verify().ok


def test_an_older_version_of_the_program_still_starts_after_the_upgrade(open_db: Open):
    upgraded(first(open_db()), "Initial schema")
    newer = second(open_db())

    @(later := open_db()).model(audit=True, timestamps=False)
    class Account:
        owner: str
        pin: str = Field("none", secret=True)
        balance: int = 7

    upgraded(later, "Balances")
    now = ours(later)
    older = first(open_db())

    older.create("Account", owner="Ada")

    assert ours(older) == now
    assert older.audit.verify().ok
    assert newer.migrations.plan()


def test_the_first_file_of_a_database_that_is_whole_makes_it_whole_elsewhere(
    open_db: Open, url: str, tmp_path: Path, request: pytest.FixtureRequest
):
    db = first(open_db())
    db.create("Account", owner="Ada")

    db.migrations.revision("Initial schema")
    db.migrations.stamp()
    db.migrations.check()

    other = f"sqlite:///{tmp_path}/other.db"
    if not url.startswith("sqlite"):
        other = request.getfixturevalue("postgres_databases").create()
    new = first(open_db(other))
    new.migrations.upgrade()
    new.migrations.check()
    new.create("Account", owner="Eve")
    assert new.audit.verify().ok
    new.migrations.downgrade("base", allow_drop=True)
    assert ours(new) == []


def test_on_another_kind_of_database_the_tables_come_and_check_names_the_rest(
    open_db: Open, url: str, tmp_path: Path, request: pytest.FixtureRequest
):
    first(open_db()).migrations.revision("Initial schema")
    other = f"sqlite:///{tmp_path}/other.db"
    if url.startswith("sqlite"):
        other = request.getfixturevalue("postgres_databases").create()
    new = first(open_db(other))

    new.migrations.upgrade()
    with pytest.raises(SchemaDriftError, match="create trigger accounts"):
        new.migrations.check()
    upgraded(new, "Triggers here")

    new.migrations.check()
    new.create("Account", owner="Eve")
    assert new.audit.verify().ok
    new.migrations.downgrade("base", allow_drop=True)
    assert ours(new) == []


@pytest.mark.parametrize("name", ["it's", 'a "b" c', "50% :x", "a\\:b", "ü😀", '"""', "a::b {c}"])
def test_columns_of_any_name_are_written_as_they_are(open_db: Open, name: str):
    class Base(DeclarativeBase):
        pass

    class Odd(Base):
        __tablename__ = "odds"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=0)
        text: Mapped[str] = mapped_column(name, default="")

    (db := open_db()).model(Odd, audit=True)

    upgraded(db, "Initial schema")

    db.migrations.check()
    odd = db.create("Odd", text="x")
    db.update("Odd", odd["id"], {"n": 1})
    assert db.audit.verify().ok
    db.migrations.downgrade("base", allow_drop=True)
    assert ours(db) == []


RUN_ENV = """
from alembic import context
from app import db

db.migrations.run_env(context)
"""
APP = """
from dataflow import DataFlow

db = DataFlow("{url}", auto_migrate=False)

@db.model(audit=True, append_only=True)
class Event:
    text: str
"""


def test_the_program_alembic_makes_checks_and_prints_them(url: str, tmp_path: Path):
    (tmp_path / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\n"
    )
    (tmp_path / "app.py").write_text(APP.format(url=url))

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-B", *words], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    call("-c", "from app import db; db.migrations.revision('x', autogenerate=False)")
    (tmp_path / "migrations" / "env.py").write_text(RUN_ENV)
    call("-m", "alembic", "upgrade", "head")
    call("-m", "alembic", "revision", "--autogenerate", "-m", "Initial schema")
    sql = call("-m", "alembic", "upgrade", "head", "--sql")
    assert "CREATE TRIGGER dataflow_guard_" in sql
    call("-m", "alembic", "upgrade", "head")
    assert "No new upgrade operations" in call("-m", "alembic", "check")
    call(
        "-c",
        "from app import db; db.migrations.check(); db.create('Event', text='x');"
        "assert db.audit.verify().ok",
    )
    call("-m", "alembic", "downgrade", "base")
