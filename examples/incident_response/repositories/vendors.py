from sqlalchemy import select

from incident_response.enums import CircuitState
from incident_response.models import Vendor
from incident_response.repositories.base import BaseRepository

FAILURES_TO_OPEN = 3


class VendorRepository(BaseRepository[Vendor]):
    async def get_by_name(self, name: str) -> Vendor | None:
        return await self.get_by_field("name", name)

    async def record_failure(self, name: str) -> None:
        """Count a failed call; the third in a row opens the circuit."""
        vendor = await self._locked(name)
        if vendor is None:
            return
        count = vendor.circuit_breaker_failure_count + 1
        changes = {"circuit_breaker_failure_count": count}
        if count >= FAILURES_TO_OPEN:
            changes["circuit_breaker_state"] = CircuitState.OPEN
        await self.update(vendor, changes)

    async def record_success(self, name: str) -> None:
        """Forget failed calls, and close the circuit."""
        vendor = await self._locked(name)
        if vendor is None:
            return
        closed = CircuitState.CLOSED
        changes = {"circuit_breaker_failure_count": 0, "circuit_breaker_state": closed}
        await self.update(vendor, changes)

    async def _locked(self, name: str) -> Vendor | None:
        return await self.session.scalar(
            select(Vendor).where(Vendor.name == name).with_for_update()
        )
