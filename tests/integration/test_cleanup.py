"""`DatabaseManager.cleanup_old_data` where records refer to each other."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from dataflow.errors import CleanupFailedError, ForeignKeyViolationError
from dataflow.models.columns import utc_now
from dataflow.models.mixins import SoftDeleteMixin, TenantMixin
from dataflow.models.ready import BaseModel
from dataflow.repositories import DatabaseManager


class Attic(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=BaseModel.metadata.naming_convention)


class AtticProject(TenantMixin, SoftDeleteMixin, Attic):
    name: Mapped[str]
    tasks: Mapped[list[AtticTask]] = relationship(cascade="all, delete-orphan")
    parent_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("attic_projects.id"))


class AtticTask(TenantMixin, SoftDeleteMixin, Attic):
    project_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("attic_projects.id"))


class AtticCity(SoftDeleteMixin, Attic):
    mayor_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("attic_mayors.id", use_alter=True)
    )


class AtticMayor(SoftDeleteMixin, Attic):
    city_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("attic_cities.id"))


Work = Callable[[DatabaseManager], Coroutine[Any, Any, None]]


def run(url: str, work: Work) -> None:
    async def inside() -> None:
        async with DatabaseManager(url, base=Attic) as manager:
            await manager.create_tables()
            await work(manager)

    asyncio.run(inside())


async def delete_project(manager: DatabaseManager, owner: str, tasks: int, days: int = 0) -> None:
    then = utc_now() - dt.timedelta(days=days)
    async with manager.get_session(owner) as session:
        project = AtticProject(name="p", deleted_at=then)
        project.tasks = [AtticTask(deleted_at=utc_now()) for _ in range(tasks)]
        session.add(project)
        await session.commit()


def test_a_cleanup_removes_records_before_those_that_they_refer_to(url: str):
    async def work(manager: DatabaseManager) -> None:
        await delete_project(manager, "acme", 2)
        await delete_project(manager, "globex", 1)

        removed = await manager.cleanup_old_data(days=0)

        assert removed == {"AtticProject": 2, "AtticTask": 3, "AtticCity": 0, "AtticMayor": 0}

    run(url, work)


def test_a_cleanup_removes_records_that_refer_to_their_own_model(url: str):
    async def work(manager: DatabaseManager) -> None:
        async with manager.get_session("acme") as session:
            top = AtticProject(name="top", deleted_at=utc_now())
            session.add(top)
            await session.flush()
            session.add(AtticProject(name="below", parent_id=top.id, deleted_at=utc_now()))
            await session.commit()

        assert (await manager.cleanup_old_data(days=0))["AtticProject"] == 2

    run(url, work)


def test_a_tenant_whose_records_cannot_go_leaves_those_of_others_to_the_cleanup(url: str):
    async def work(manager: DatabaseManager) -> None:
        await delete_project(manager, "acme", 1, days=9)  # its task is not as old
        await delete_project(manager, "globex", 0, days=9)

        with pytest.raises(CleanupFailedError) as failed:
            await manager.cleanup_old_data(days=5)

        assert failed.value.removed["AtticProject"] == 1
        assert list(failed.value.failures) == ["acme"]
        assert isinstance(failed.value.failures["acme"], ForeignKeyViolationError)
        assert "  tenant 'acme': ForeignKeyViolationError: foreign key" in str(failed.value)
        assert (await manager.get_stats("acme"))["models"]["AtticProject"]["total"] == 1
        assert (await manager.get_stats("globex"))["models"]["AtticProject"]["total"] == 0

    run(url, work)


def test_records_that_refer_to_each_other_in_a_circle_are_named_by_a_coded_error(url: str):
    async def work(manager: DatabaseManager) -> None:
        await delete_project(manager, "acme", 1)
        async with manager.get_session() as session:
            city = AtticCity(deleted_at=utc_now())
            session.add(city)
            await session.flush()
            mayor = AtticMayor(city_id=city.id, deleted_at=utc_now())
            session.add(mayor)
            await session.flush()
            city.mayor_id = mayor.id
            await session.commit()

        with pytest.raises(CleanupFailedError, match="records without a tenant") as failed:
            await manager.cleanup_old_data(days=0)

        assert isinstance(failed.value.failures[None], ForeignKeyViolationError)
        assert failed.value.removed["AtticTask"] == 1

    run(url, work)
