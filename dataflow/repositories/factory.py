"""Repositories for a session and a model, of the kind that fits."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dataflow.repositories.async_repository import AsyncRepository, AsyncTenantRepository
from dataflow.repositories.repository import BaseTenantRepository, Repository

__all__ = ["create_async_repository", "create_repository"]

T = TypeVar("T")


def create_repository(session: Session, model: type[T], tenant_id: Any = None) -> Repository[T]:
    """Return a repository; one of a tenant where a tenant is given."""
    if tenant_id is None:
        return Repository(session, model)
    return BaseTenantRepository(session, model, tenant_id)


def create_async_repository(
    session: AsyncSession, model: type[T], tenant_id: Any = None
) -> AsyncRepository[T]:
    """Return a repository for coroutines; one of a tenant where a tenant is given."""
    if tenant_id is None:
        return AsyncRepository(session, model)
    return AsyncTenantRepository(session, model, tenant_id)
