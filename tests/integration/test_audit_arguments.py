"""What callers may give to `db.audit` and `db.acting`."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import ParameterError, UnknownModelError


class Level(enum.Enum):
    HIGH = "high"


@pytest.fixture
def account(db: DataFlow) -> DataFlow:
    @db.model(audit=True)
    class Account:
        owner: str

    return db


def test_details_are_what_json_can_carry(account: DataFlow):
    details = {
        "limit": Decimal("1.50"),
        "until": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "by": uuid.UUID(int=1),
        "level": Level.HIGH,
        "steps": [1, 2.5, None, "ä"],
    }

    account.audit.record(action="approve", entity_type="Account", entity_id=1, details=details)

    assert account.audit.get_by_entity("Account", 1)[0].details == {
        "limit": "1.50",
        "until": "2026-01-01T00:00:00Z",
        "by": "00000000-0000-0000-0000-000000000001",
        "level": "high",
        "steps": [1, 2.5, None, "ä"],
    }
    assert account.audit.verify().ok


@pytest.mark.parametrize("value", [object(), float("nan"), "a\0", "\ud800"])
def test_details_that_json_cannot_carry_are_refused(account: DataFlow, value: Any):
    with pytest.raises(ParameterError, match=r"details cannot be recorded: .*JSON"):
        account.audit.record(action="approve", details={"x": value})

    assert account.audit.get_recent_activity() == []


@pytest.mark.parametrize("action", [None, 5, ""])
def test_an_action_is_a_text(account: DataFlow, action: Any):
    with pytest.raises(ParameterError, match="action must be a text, such as 'approve', not"):
        account.audit.record(action=action)


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800"])
@pytest.mark.parametrize(
    "argument", ["action", "entity_type", "entity_id", "ip_address", "user_agent"]
)
def test_texts_that_no_database_holds_are_refused(account: DataFlow, argument: str, wrong: str):
    with pytest.raises(ParameterError, match=f"{argument} holds U.0000 or a lone surrogate"):
        account.audit.record(**{"action": "a", "entity_type": "own", argument: wrong})


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800"])
@pytest.mark.parametrize("argument", ["actor", "correlation_id"])
def test_nobody_acts_by_a_name_that_no_database_holds(memory: DataFlow, argument: str, wrong: str):
    names = {"actor": "ada", argument: wrong}

    with pytest.raises(ParameterError, match=f"{argument} holds U.0000 or a lone surrogate"):
        memory.acting(**names)


@pytest.mark.parametrize("hours", [10**9, "24", float("nan"), float("inf"), -1, True, None])
def test_hours_that_no_calendar_has_are_refused(account: DataFlow, hours: Any):
    with pytest.raises(ParameterError, match="hours must be from 0 to the first of all dates"):
        account.audit.get_recent_activity(hours=hours)


HEAD = {"chain": "", "partition": 0, "sequence": 1, "hash": "00"}


@pytest.mark.parametrize(
    "anchor", ["x", None, [{}], [5], [{**HEAD, "hash": "x"}], [{**HEAD, "sequence": "1"}]]
)
def test_what_is_no_anchor_is_refused(account: DataFlow, anchor: Any):
    with pytest.raises(ParameterError, match=r"verify takes what anchor\(\) has returned, not"):
        account.audit.verify(anchor)


def test_a_kind_of_thing_that_nobody_knows_is_an_error(account: DataFlow):
    account.audit.record(action="sent", entity_type="invoice", entity_id=1)

    with pytest.raises(UnknownModelError) as unknown:
        account.audit.get_by_entity("Acount", 1)

    assert unknown.value.advice() == "did you mean 'Account'?"
    assert account.audit.get_by_entity("invoice", 2) == []
    assert account.audit.get_by_entity("Account", 2) == []


@pytest.mark.parametrize("wrong", [None, "5", 2.0, True, -1, 2**62, 10**30])
@pytest.mark.parametrize("name", ["skip", "limit"])
def test_a_part_of_the_log_is_said_in_whole_numbers(account: DataFlow, name: str, wrong: Any):
    with pytest.raises(ParameterError, match=f"{name} must be a (whole )?number"):
        account.audit.get_by_user("ada", **{name: wrong})
    if name == "limit":
        with pytest.raises(ParameterError, match=r"limit must be a (whole )?number"):
            account.audit.get_recent_activity(limit=wrong)


def test_a_part_of_the_log_may_be_larger_than_the_log(account: DataFlow):
    with account.acting("ada"):
        account.create("Account", owner="a")

    assert len(account.audit.get_by_user("ada", limit=2**62 - 1)) == 1
    assert account.audit.get_by_user("ada", skip=2**62 - 1, limit=2**62 - 1) == []
    assert account.audit.get_recent_activity(limit=0) == []
