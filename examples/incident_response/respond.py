"""Carrying out actions: each by one worker, none that a kill switch stops."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from incident_response.models import Action
from incident_response.repositories import ActionRepository, VendorRepository
from incident_response.session import get_session

Execute = Callable[[Action], Awaitable[dict[str, Any]]]


async def respond(tenant_id: UUID, execute: Execute) -> Action | None:
    """Carry out the oldest action that waits, and return it; None: there is nothing to do.

    Args:
        tenant_id: Whose actions.
        execute: Does it outside of any transaction; an `Exception` is a failure.
    """
    async with get_session(tenant_id) as session:
        action = await ActionRepository(session).start_next()
        await session.commit()
    if action is None:
        return None
    try:
        succeeded, result = True, await execute(action)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the action's result
        succeeded, result = False, {"error": f"{type(error).__name__}: {error}"}
    async with get_session(tenant_id) as session:
        await _record_call(VendorRepository(session), action, succeeded=succeeded)
        done = await ActionRepository(session).finish(action.id, succeeded=succeeded, result=result)
        await session.commit()
    return done


async def _record_call(vendors: VendorRepository, action: Action, *, succeeded: bool) -> None:
    vendor = action.parameters.get("vendor")
    if vendor is not None:
        await (vendors.record_success if succeeded else vendors.record_failure)(vendor)
