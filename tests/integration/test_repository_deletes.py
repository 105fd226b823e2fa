"""`Repository.delete` for good: who did it, what goes with a record, and what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow import DataFlow
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
