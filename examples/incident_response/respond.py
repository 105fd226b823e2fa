"""Carrying out actions: each by one worker, none that a kill switch stops."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from dataflow.errors import RecordValidationError
from incident_response.models import Action
from incident_response.repositories import ActionRepository, VendorRepository
from incident_response.session import get_session

Execute = Callable[[Action], Awaitable[dict[str, Any]]]


async def respond(tenant_id: UUID, execute: Execute) -> Action | None:
    """Carry out the oldest action that waits, and return it; None: there is nothing to do.

    Args:
        tenant_id: Whose actions.
        execute: Does it outside of any transaction; an `Exception` is a failure, and so
            is a result that is no JSON.
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
    try:
        return await _finish(tenant_id, action, result, succeeded=succeeded)
    except RecordValidationError as error:
        told = {"error": f"the result cannot be kept: {error.problem_text()}"}
        return await _finish(tenant_id, action, told, succeeded=False)


async def _finish(
    tenant_id: UUID, action: Action, result: dict[str, Any], *, succeeded: bool
) -> Action:
    async with get_session(tenant_id) as session:
        await _record_call(VendorRepository(session), action, succeeded=succeeded)
        done = await ActionRepository(session).finish(action.id, succeeded=succeeded, result=result)
        await session.commit()
    return done


async def _record_call(vendors: VendorRepository, action: Action, *, succeeded: bool) -> None:
    vendor = action.parameters.get("vendor")
    if isinstance(vendor, str):
        await (vendors.record_success if succeeded else vendors.record_failure)(vendor)
