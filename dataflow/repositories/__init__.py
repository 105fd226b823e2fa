"""Repositories and sessions: the data layer of applications written with SQLAlchemy."""

from dataflow.repositories.async_repository import AsyncRepository, AsyncTenantRepository
from dataflow.repositories.breaker import CircuitBreaker
from dataflow.repositories.factory import create_async_repository, create_repository
from dataflow.repositories.health import DatabaseHealthChecker, HealthCheckResult, HealthStatus
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
from dataflow.repositories.policies import RetryPolicy, RetryStrategy, with_retry
from dataflow.repositories.repository import BaseRepository, BaseTenantRepository, Repository
from dataflow.repositories.transactions import DatabaseTransaction, TransactionManager

__all__ = [
    "AsyncRepository",
    "AsyncTenantRepository",
    "BaseRepository",
    "BaseTenantRepository",
    "CircuitBreaker",
    "CursorPaginationParams",
    "CursorResult",
    "DatabaseHealthChecker",
    "DatabaseManager",
    "DatabasePaginator",
    "DatabaseTransaction",
    "FilterOperator",
    "HealthCheckResult",
    "HealthStatus",
    "PaginationHelper",
    "PaginationParams",
    "PaginationResult",
    "PerCallRepository",
    "PerformancePaginator",
    "QueryFilter",
    "QueryOptions",
    "Repository",
    "RetryPolicy",
    "RetryStrategy",
    "SortField",
    "TransactionManager",
    "create_async_repository",
    "create_repository",
    "with_retry",
]
