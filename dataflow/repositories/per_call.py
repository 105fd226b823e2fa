"""`PerCallRepository`: one repository for all sessions; each call names its session."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from dataflow.errors import did_you_mean
from dataflow.repositories.async_repository import AsyncRepository

__all__ = ["PerCallRepository"]

T = TypeVar("T")


class PerCallRepository(Generic[T]):
    """The methods of `AsyncRepository` with the session as first argument.

    `workflows = PerCallRepository(Workflow)`, then `await workflows.get(session, key)`.

    Args:
        model: A model, or any class mapped by SQLAlchemy.
    """

    def __init__(self, model: type[T]) -> None:
        """Keep the model."""
        self.model = model

    def on(self, session: AsyncSession) -> AsyncRepository[T]:
        """Return the repository of one session."""
        return AsyncRepository(session, self.model)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return a method of `AsyncRepository` that takes the session first."""
        if name.startswith("_") or not hasattr(AsyncRepository, name):
            methods = [item for item in dir(AsyncRepository) if not item.startswith("_")]
            msg = f"{type(self).__name__} has no method {name!r}: {did_you_mean(name, methods)}"
            raise AttributeError(msg)
        return partial(self._call, name)

    async def _call(self, name: str, session: AsyncSession, /, *args: Any, **options: Any) -> Any:
        return await getattr(self.on(session), name)(*args, **options)
