"""Mixins for SQLAlchemy-declarative models: columns, and the options that keep them."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from dataflow.context import actor, correlation_id
from dataflow.models.columns import utc_now
from dataflow.models.columntypes import BIGINT, TextKey, UtcDateTime
from dataflow.models.tenancy import tenant_default

__all__ = [
    "AppendOnlyMixin",
    "AuditMixin",
    "CorrelationMixin",
    "SoftDeleteMixin",
    "TenantMixin",
    "VersionMixin",
]


def _correlation() -> str | None:
    return correlation_id.get()


class TenantMixin:
    """Adds `tenant_id`: each call and session sees one tenant's records alone.

    A tenant is a text; a UUID or a whole number is taken as its text.
    """

    __dataflow__: ClassVar[Any] = {"multi_tenant": True}

    tenant_id: Mapped[str] = mapped_column(TextKey(255), nullable=False, default=tenant_default)


class CorrelationMixin:
    """Adds `correlation_id`, which ties together what one request has caused."""

    correlation_id: Mapped[str | None] = mapped_column(
        TextKey(255), nullable=True, default=_correlation, index=True
    )


class SoftDeleteMixin:
    """Adds `deleted_at` and `deleted_by`: deleted records are hidden, not removed."""

    __dataflow__: ClassVar[Any] = {"soft_delete": True}

    deleted_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime(), nullable=True)
    deleted_by: Mapped[str | None] = mapped_column(TextKey(255), nullable=True)

    @property
    def is_deleted(self) -> bool:
        """Whether the record is hidden."""
        return self.deleted_at is not None

    def soft_delete(self, user_id: object = None) -> None:
        """Hide the record from now on; the session's owner commits.

        Args:
            user_id: Who does it; None: the actor of the call.
        """
        self.deleted_at = utc_now()
        self.deleted_by = actor.get() if user_id is None else str(user_id)

    def restore(self) -> None:
        """Show the record again."""
        self.deleted_at = None
        self.deleted_by = None


class VersionMixin:
    """Adds `version`, which each change raises by one; a stale change is refused."""

    __dataflow__: ClassVar[Any] = {"versioned": True}

    version: Mapped[int] = mapped_column(BIGINT, nullable=False, default=1, server_default="1")

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Let sessions check the version of what they change."""
        return {"version_id_col": cls.version}


class AuditMixin:
    """Adds `created_by` and `updated_by`: the actor of the call, `db.acting(…)`."""

    __dataflow__: ClassVar[Any] = {"actors": True}

    created_by: Mapped[str | None] = mapped_column(TextKey(255), nullable=True)
    updated_by: Mapped[str | None] = mapped_column(TextKey(255), nullable=True)


class AppendOnlyMixin:
    """Records are never changed or deleted: refused here and by the database."""

    __dataflow__: ClassVar[Any] = {"append_only": True}
