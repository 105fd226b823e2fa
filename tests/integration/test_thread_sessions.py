"""Sessions of threads where no connection is to be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow
from dataflow.errors import CannotConnectError, DatabaseClosedError, PoolExhaustedError


def furnish(db: DataFlow) -> Any:
    @db.model(timestamps=False)
    class Item:
        name: str

    db.create("Item", name="first")
    return Item


def test_a_closed_database_opens_no_session(db: DataFlow):
    furnish(db)
    with db.session() as session:
        session.execute(sa.text("SELECT 1"))
    db.close()

    with pytest.raises(DatabaseClosedError):
        db.session()


def test_a_closed_database_opens_no_first_session(db: DataFlow):
    furnish(db)
    db.close()

    with pytest.raises(DatabaseClosedError):
        db.session()


def test_a_session_that_is_left_writes_nothing_after_the_database_was_closed(db: DataFlow):
    item = furnish(db)
    with db.session() as session:
        assert session.scalars(sa.select(item.name)).all() == ["first"]
        session.commit()
        db.close()
        session.add(item(name="second"))

        with pytest.raises(DatabaseClosedError):
            session.commit()


def test_a_session_that_gets_no_connection_in_time_says_so_as_a_verb_does(url: str):
    with DataFlow(url, pool_size=2, max_overflow=0, pool_timeout_s=0.05) as db:
        furnish(db)
        with db.session(read_only=True) as first, db.session(read_only=True) as second:
            for session in (first, second):
                session.execute(sa.text("SELECT 1"))

            with db.session(read_only=True) as third:
                with pytest.raises(PoolExhaustedError) as caught:
                    third.execute(sa.text("SELECT 1"))
                first.rollback()
                assert third.scalar(sa.text("SELECT 1")) == 1

    assert caught.value.problem_text() == (
        "no connection became free within 0.05 s (2 in use, 0 waiting)."
    )
    assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@127.0.0.1:1/none", "sqlite:////nowhere/at/all/x.db"]
)
def test_a_session_of_a_database_that_is_not_there_says_so_as_a_verb_does(url: str):
    with DataFlow(url, auto_migrate=False, retry_attempts=1) as db:

        @db.model
        class Item:
            name: str

        with pytest.raises(CannotConnectError) as session:
            db.session()
        with pytest.raises(CannotConnectError) as verb:
            db.count("Item")

    assert session.value.problem_text() == verb.value.problem_text()


def test_a_session_works_as_soon_as_the_database_is_there(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/later/x.db", auto_migrate=False) as db:
        with pytest.raises(CannotConnectError):
            db.session()
        (tmp_path / "later").mkdir()

        with db.session() as session:
            assert session.scalar(sa.text("SELECT 1")) == 1
