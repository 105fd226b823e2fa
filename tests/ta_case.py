"""What the tests of the example `ta_generator` share: its database, people and requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from ta_generator.database import async_session_factory, connect, create_tables, dispose_engine
from ta_generator.enums import RequestStatus, UserRoleEnum
from ta_generator.repositories import RequestRepository, RoleRepository, UserRepository

T = TypeVar("T")


def run(url: str, body: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine with the application on a database."""

    async def main() -> T:
        connect(url)
        try:
            await create_tables()
            return await body()
        finally:
            await dispose_engine()

    return asyncio.run(main())


async def add_user(username: str = "ada", *names: UserRoleEnum) -> UUID:
    async with async_session_factory() as session:
        data = {"username": username, "email": f"{username}@example.com"}
        user = await UserRepository(session).create(data)
        roles = RoleRepository(session)
        await roles.ensure_default_roles()
        for name in names:
            role = await roles.get_by_name(name)
            assert role is not None
            await roles.assign_role_to_user(user.id, role.id)
        await session.commit()
        return user.id


PATH = {
    RequestStatus.NEW: (),
    RequestStatus.PENDING_APPROVAL: (RequestStatus.PENDING_APPROVAL,),
    RequestStatus.REJECTED: (RequestStatus.PENDING_APPROVAL, RequestStatus.REJECTED),
}
for before, after in [
    (RequestStatus.PENDING_APPROVAL, RequestStatus.APPROVED),
    (RequestStatus.APPROVED, RequestStatus.GENERATING_TA),
    (RequestStatus.GENERATING_TA, RequestStatus.VALIDATING),
    (RequestStatus.VALIDATING, RequestStatus.COMPLETED),
    (RequestStatus.VALIDATING, RequestStatus.FAILED),
]:
    PATH[after] = (*PATH[before], after)


async def add_request(user_id: UUID, status: RequestStatus = RequestStatus.NEW) -> UUID:
    """Create a request and move it to a status by the steps that lead there."""
    async with async_session_factory() as session:
        requests = RequestRepository(session)
        request = await requests.create({"created_by": user_id, "source_system": "Apache"})
        for step in PATH[status]:
            await requests.move(request.id, step)
        await session.commit()
        return request.id
