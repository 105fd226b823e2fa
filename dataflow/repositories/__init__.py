"""Repositories and sessions: the data layer of applications written with SQLAlchemy."""

from dataflow.repositories.async_repository import AsyncRepository, AsyncTenantRepository
from dataflow.repositories.factory import create_async_repository, create_repository
from dataflow.repositories.manager import DatabaseManager
from dataflow.repositories.options import (
    CursorPaginationParams,
    CursorResult,
    FilterOperator,
    PaginationParams,
    PaginationResult,
    QueryFilter,
    QueryOptions,
    SortField,
)
from dataflow.repositories.paginators import (
    DatabasePaginator,
    PaginationHelper,
    PerformancePaginator,
)
from dataflow.repositories.per_call import PerCallRepository
from dataflow.repositories.repository import BaseRepository, BaseTenantRepository, Repository

__all__ = [
    "AsyncRepository",
    "AsyncTenantRepository",
    "BaseRepository",
    "BaseTenantRepository",
    "CursorPaginationParams",
    "CursorResult",
    "DatabaseManager",
    "DatabasePaginator",
    "FilterOperator",
    "PaginationHelper",
    "PaginationParams",
    "PaginationResult",
    "PerCallRepository",
    "PerformancePaginator",
    "QueryFilter",
    "QueryOptions",
    "Repository",
    "SortField",
    "create_async_repository",
    "create_repository",
]
