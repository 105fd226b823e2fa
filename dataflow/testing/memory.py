"""`InMemoryDatabase`: a real database that lasts as long as a block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dataflow.app import DataFlow
from dataflow.models.declare import spec_for
from dataflow.models.ready import BaseModel
from dataflow.nodes.registry import live_registries
from dataflow.records.sessions import SessionBlock

__all__ = ["InMemoryDatabase"]


class InMemoryDatabase:
    """A SQLite database in memory with the tables of models; the block gives a session.

    `async with InMemoryDatabase(User) as session:` gives an `AsyncSession`,
    `with InMemoryDatabase(User) as session:` a `Session`. Nothing of it remains.

    Args:
        *models: Which models, with those that they are linked to; none: all that exist in
            the process.
        tenant_id: Whose records the session sees; None: the tenant of the block around.
    """

    def __init__(self, *models: type, tenant_id: Any = None) -> None:
        """Keep the models; nothing is made before the block begins."""
        self._models = models
        self._tenant_id = tenant_id
        self.db = DataFlow("sqlite:///:memory:")
        self.db.nodes.close()  # so that builders do not find each node twice
        self._block: SessionBlock | None = None
        self._session: Session | None = None

    def _adopt(self) -> None:
        self.db.adopt(*(_with_linked(self._models) if self._models else _known_models()))

    async def __aenter__(self) -> AsyncSession:
        """Make the tables and return a session."""
        self._adopt()
        self._block = self.db.aio.session(self._tenant_id)
        session = await self._block.__aenter__()
        session.info.pop("scopes", None)  # any model of the process with one of the tables
        return session

    async def __aexit__(self, *error: object) -> None:
        """Forget everything."""
        if self._block is not None:
            await self._block.__aexit__(None, None, None)
        await self.db.aclose()

    def __enter__(self) -> Session:
        """Make the tables and return a session."""
        self._adopt()
        self._session = self.db.session(self._tenant_id)
        self._session.info.pop("scopes", None)  # likewise
        return self._session

    def __exit__(self, *error: object) -> None:
        """Forget everything."""
        if self._session is not None:
            self._session.close()
        self.db.close()


def _with_linked(models: Iterable[type]) -> list[type]:
    """Return models, and those that their foreign keys and links lead to."""
    found = list(models)
    for model in found:  # grows on the way
        spec = spec_for(model)
        targets = {key.target_fullname.rpartition(".")[0] for key in spec.table.foreign_keys}
        names = {link.target for link in spec.relationships.values()}
        mapped: Any = sa.inspect(model)
        for mapper in mapped.registry.mappers:
            linked = str(mapper.local_table) in targets or mapper.class_.__name__ in names
            if linked and mapper.class_ not in found:
                found.append(mapper.class_)
    return found


def _known_models() -> Iterable[type]:
    """Return every model of the process; of those with the same table or name, the last."""
    found: dict[str, type] = {
        str(mapper.local_table): mapper.class_ for mapper in BaseModel.registry.mappers
    }
    for registry in live_registries():
        for node_type in registry:
            spec = getattr(node_type, "spec", None)
            if spec is not None:
                found.pop(spec.table.fullname, None)  # the last stands last
                found[spec.table.fullname] = spec.model
    return {model.__name__: model for model in found.values()}.values()
