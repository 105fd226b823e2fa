"""The program `alembic` itself, on a database and models of DataFlow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

RUN_ENV = """
from alembic import context
from app import db

db.migrations.run_env(context)
"""
OWN_ENV = """
from alembic import context
from sqlalchemy import create_engine

from app import db, url

target_metadata = db.metadata

with create_engine(url).connect() as connection:
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
APP = """
from dataflow import DataFlow, Field

url = "{url}"
db = DataFlow(url, auto_migrate=False)

@db.model
class User:
    name: str
    email: str = Field(unique=True, max_length=80)
{more}
"""
PHONE = "    phone: str | None = None\n"


class Project:
    """A program in a folder of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        (folder / "alembic.ini").write_text(
            "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\n"
        )
        self.write_app()

    def write_app(self, more: str = "") -> None:
        (self.folder / "app.py").write_text(APP.format(url=self.url, more=more))

    def write_env(self, text: str) -> None:
        (self.folder / "migrations" / "env.py").write_text(text)

    def python(self, code: str) -> str:
        return self._run("-c", f"from app import db\n{code}")

    def alembic(self, *words: str) -> str:
        return self._run("-m", "alembic", *words)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-B", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture
def project(tmp_path: Path, url: str) -> Project:
    return Project(tmp_path, url)


def test_the_commands_of_alembic_and_our_calls_do_the_same(project: Project):
    project.python("db.migrations.revision('Initial schema')")
    project.write_env(RUN_ENV)

    assert project.alembic("current") == ""
    project.alembic("upgrade", "head")
    assert project.alembic("current").rstrip().endswith("(head)")
    project.write_app(PHONE)
    project.alembic("revision", "--autogenerate", "-m", "Add phones")
    project.alembic("upgrade", "head")
    assert "No new upgrade operations" in project.alembic("check")

    assert project.python("db.migrations.check(); print(db.migrations.history()[0].message)") == (
        "Add phones\n"
    )
    assert re.findall("-> .*, (.*)$", project.alembic("history"), re.MULTILINE) == [
        "Add phones",
        "Initial schema",
    ]
    project.python("db.create('User', name='Ada', email='a@x', phone='1')")
    project.alembic("downgrade", "-1")
    project.write_app()
    assert project.python("assert not db.migrations.plan(); print(db.count('User'))") == "1\n"


def test_alembic_generates_no_file_that_loses_data(project: Project):
    project.write_app(PHONE)
    project.python("db.migrations.revision('Initial schema'); db.migrations.upgrade()")
    project.write_env(RUN_ENV)
    project.write_app()

    with pytest.raises(AssertionError, match=r"would lose data: drop column users\.phone"):
        project.alembic("revision", "--autogenerate", "-m", "No phones")


def test_alembic_writes_the_sql_of_files(project: Project):
    project.python("db.migrations.revision('Initial schema')")
    project.write_env(RUN_ENV)

    sql = project.alembic("upgrade", "head", "--sql")

    assert "CREATE TABLE users" in sql
    assert "INSERT INTO alembic_version" in sql


def test_files_are_carried_out_by_an_env_py_of_ones_own(tmp_path: Path):
    project = Project(tmp_path, f"sqlite:///{tmp_path}/test.db")
    project.python("db.migrations.revision('Initial schema')")
    project.write_env(OWN_ENV)

    project.alembic("upgrade", "head")

    project.python("db.migrations.check()")
    assert "No new upgrade operations" in project.alembic("check")
    project.alembic("downgrade", "base")
