"""A house of two tenants, and the lists of ways into it.

A route gets a session of the tenant `acme`, and does what it can to read, move or
change what belongs to `globex`. Whatever it returns is searched for a canary that
stands in each of the other tenant's records.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dataflow import DataFlow, Field, Relationship
from dataflow.models.mixins import SoftDeleteMixin, TenantMixin, VersionMixin

__all__ = [
    "CANARY",
    "FORGED",
    "MINE",
    "READS",
    "House",
    "Route",
    "fill",
    "forged",
    "furnish",
    "furnish_declarative",
    "reads",
    "titles",
]

CANARY = "canary"


class House(NamedTuple):
    """The models, and keys of the other tenant's records."""

    db: DataFlow
    Team: Any
    Note: Any
    Page: Any
    their_team: int
    their_note: int
    insert: Any
    """The dialect's INSERT, which knows conflicts."""


def furnish(db: DataFlow) -> House:
    """Declare plain models on `db` with records of two tenants."""

    @db.model(multi_tenant=True)
    class Team:
        id: int
        name: str = Field(unique=True)
        notes: list[Note] = Relationship(back_populates="team")

    @db.model(multi_tenant=True, soft_delete=True, versioned=True)
    class Note:
        id: int
        title: str
        team_id: int | None = Field(default=None, foreign_key=Team)
        team: Team | None = Relationship(back_populates="notes")

    @db.model(multi_tenant=True)
    class Page:
        slug: str = Field(primary_key=True)
        body: str

    return _inhabited(db, Team, Note, Page)


def furnish_declarative(db: DataFlow) -> House:
    """Declare SQLAlchemy's declarative models instead, with mixins."""

    class Base(DeclarativeBase):
        pass

    class Team(TenantMixin, Base):
        __tablename__ = "teams"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        notes: Mapped[list[Note]] = relationship(back_populates="team")

    class Note(TenantMixin, SoftDeleteMixin, VersionMixin, Base):
        __tablename__ = "notes"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("teams.id"))
        team: Mapped[Team | None] = relationship(back_populates="notes")

    class Page(TenantMixin, Base):
        __tablename__ = "pages"
        tenant_id: Mapped[str] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(primary_key=True)
        body: Mapped[str]

    for model in (Team, Note, Page):
        db.model(model)
    return _inhabited(db, Team, Note, Page)


def _inhabited(db: DataFlow, *models: Any) -> House:
    fill(db, "acme", "mine")
    team, note = fill(db, "globex", CANARY)
    with db.tenant("globex"):
        db.create("Page", slug="theirs", body=f"{CANARY} page")
    dialect = importlib.import_module(f"sqlalchemy.dialects.{db.database.driver.name}")
    return House(db, *models, team, note, dialect.insert)


def fill(db: DataFlow, tenant: str, mark: str) -> tuple[int, int]:
    """Give a tenant new records instead of those that it has; return two of their keys."""
    with db.tenant(tenant):
        for model in ("Note", "Team", "Page"):
            db.bulk_delete(model, all=True, hard=True)
        team = db.create("Team", name=f"{mark} team")["id"]
        rows = [{"title": f"{mark} {name}", "team_id": team} for name in (1, 2)]
        rows.append({"title": f"{mark} loose", "team_id": None})
        notes = db.bulk_create("Note", rows, returning="ids")["ids"]
        db.create("Page", slug="home", body=f"{mark} home")
    return team, notes[0]


Route = Callable[[Session, House], Any]
FORGED: list[Route] = []
READS: list[tuple[Route, Any]] = []
MINE = ["mine 1", "mine 2", "mine loose"]


def forged(route: Route) -> Route:
    FORGED.append(route)
    return route


def reads(expected: Any) -> Callable[[Route], Route]:
    def keep(route: Route) -> Route:
        READS.append((route, expected))
        return route

    return keep


def titles(session: Session, statement: Any) -> list[Any]:
    return sorted(session.scalars(statement), key=str)
