"""The data layer of `incident_response` in SQLAlchemy alone, as short as it keeps its promises.

It is here to be counted and tested beside the example: tenants are kept apart in every
statement of the ORM, events and decisions are never changed, instants are in UTC.
Not here: what the example has besides, such as nodes, tables that are changed later,
statements that are not the ORM's, checked values, foreign keys within a tenant.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar, get_args

from incident_response.signature import severity_of, signature_of, title_of
from sqlalchemy import (
    DDL,
    JSON,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    delete,
    event,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    mapped_column,
    with_loader_criteria,
)
from sqlalchemy.types import TypeDecorator

T = TypeVar("T", bound="BaseModel")


# ------------------------------------------------------------------------ base


class UtcDateTime(TypeDecorator[datetime]):
    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def values_of(kind: type[StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, length=50, values_callable=lambda k: [m.value for m in k])


def now() -> datetime:
    return datetime.now(UTC)


class BaseModel(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), dict: JSON(none_as_null=True)}

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class TenantMixin:
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))


class CorrelationMixin:
    correlation_id: Mapped[str | None] = mapped_column(String(255), index=True)


class AppendOnlyMixin:
    pass


class AppendOnlyError(Exception):
    pass


class TenantRequiredError(Exception):
    pass


def refuse_changes_of(table: str) -> None:
    """Let the database refuse what does not go through the session, too."""
    found = BaseModel.metadata.tables[table]
    for verb in ("UPDATE", "DELETE"):
        name = f"{table}_{verb.lower()}_refused"
        lite = (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        )
        event.listen(found, "after_create", DDL(lite).execute_if(dialect="sqlite"))
        function = (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'append-only'; END $$"
        )
        trigger = (
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
        for statement in (function, trigger):
            event.listen(found, "after_create", DDL(statement).execute_if(dialect="postgresql"))


# ---------------------------------------------------------------------- models


class IncidentStatus(StrEnum):
    NEW = "NEW"
    ANALYZING = "ANALYZING"
    ACTIONED = "ACTIONED"
    RESOLVED = "RESOLVED"
    IGNORED = "IGNORED"


class Severity(StrEnum):
    LOW = "LOW"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class ActionType(StrEnum):
    RETRY = "retry"
    ESCALATE = "escalate"
    MANUAL = "manual"


class ActionStatus(StrEnum):
    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class CircuitState(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Tenant(BaseModel):
    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(255), unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)
    settings: Mapped[dict] = mapped_column(default=dict)


class Workflow(BaseModel, TenantMixin):
    __tablename__ = "workflows"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(default="")
    is_active: Mapped[bool] = mapped_column(default=True)


class Vendor(BaseModel):
    __tablename__ = "vendors"

    name: Mapped[str] = mapped_column(String(255), unique=True)
    circuit_breaker_state: Mapped[CircuitState] = mapped_column(
        values_of(CircuitState), default=CircuitState.CLOSED
    )
    circuit_breaker_failure_count: Mapped[int] = mapped_column(default=0)
    rate_limit_per_minute: Mapped[int] = mapped_column(default=60)


class Event(AppendOnlyMixin, BaseModel, TenantMixin, CorrelationMixin):
    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        Index("ix_events_tenant_workflow", "tenant_id", "workflow_id"),
        Index("ix_events_tenant_occurred", "tenant_id", "occurred_at"),
    )

    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflows.id"))
    event_type: Mapped[str] = mapped_column(String(255))
    payload: Mapped[dict] = mapped_column(default=dict)
    idempotency_key: Mapped[str] = mapped_column(String(255))
    occurred_at: Mapped[datetime]


class Incident(BaseModel, TenantMixin, CorrelationMixin):
    __tablename__ = "incidents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "signature"),
        Index("ix_incidents_tenant_status", "tenant_id", "status"),
    )

    signature: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(255))
    status: Mapped[IncidentStatus] = mapped_column(
        values_of(IncidentStatus), default=IncidentStatus.NEW
    )
    severity: Mapped[Severity] = mapped_column(values_of(Severity), default=Severity.LOW)
    event_count: Mapped[int] = mapped_column(default=0)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class Decision(AppendOnlyMixin, BaseModel, TenantMixin):
    __tablename__ = "decisions"

    incident_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("incidents.id"), index=True)
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("events.id"), unique=True)
    decision_type: Mapped[str] = mapped_column(String(50))
    reasoning: Mapped[str]
    confidence_score: Mapped[float]
    ai_model: Mapped[str] = mapped_column(String(100))


class Action(BaseModel, TenantMixin):
    __tablename__ = "actions"
    __table_args__ = (Index("ix_actions_incident_status", "incident_id", "status"),)

    incident_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("incidents.id"))
    decision_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("decisions.id"), unique=True)
    action_type: Mapped[ActionType] = mapped_column(values_of(ActionType))
    status: Mapped[ActionStatus] = mapped_column(
        values_of(ActionStatus), default=ActionStatus.PENDING
    )
    parameters: Mapped[dict] = mapped_column(default=dict)
    result: Mapped[dict | None]
    is_reversible: Mapped[bool] = mapped_column(default=False)


class KillSwitch(BaseModel, TenantMixin):
    __tablename__ = "kill_switches"

    workflow_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("workflows.id"))
    is_active: Mapped[bool] = mapped_column(default=True)
    reason: Mapped[str]
    activated_by: Mapped[str] = mapped_column(String(255))


refuse_changes_of("events")
refuse_changes_of("decisions")


# -------------------------------------------------------------------- sessions


class TenantSession(Session):
    """A session that sees one tenant's records: `info["tenant"]`."""


@event.listens_for(TenantSession, "do_orm_execute")
def _see_one_tenant(state: ORMExecuteState) -> None:
    tenant = state.session.info["tenant"]
    shared = [m for m in state.all_mappers if issubclass(m.class_, TenantMixin)]
    if tenant is None and shared:
        raise TenantRequiredError
    fixed = any(issubclass(mapper.class_, AppendOnlyMixin) for mapper in state.all_mappers)
    if fixed and (state.is_update or state.is_delete):
        raise AppendOnlyError
    state.statement = state.statement.options(
        with_loader_criteria(TenantMixin, lambda cls: cls.tenant_id == tenant, include_aliases=True)
    )


@event.listens_for(TenantSession, "before_flush")
def _keep_rules(session: Session, context: Any, objects: Any) -> None:
    tenant = session.info["tenant"]
    for record in session.new:
        if isinstance(record, TenantMixin):
            if record.tenant_id is None:
                record.tenant_id = tenant
            if tenant is None or record.tenant_id != tenant:
                raise TenantRequiredError
    for record in (*session.dirty, *session.deleted):
        if isinstance(record, TenantMixin) and record.tenant_id != tenant:
            raise TenantRequiredError
        if isinstance(record, AppendOnlyMixin) and (
            record in session.deleted or session.is_modified(record)
        ):
            raise AppendOnlyError


_engines: list[AsyncEngine] = []


def get_engine() -> AsyncEngine:
    if not _engines:
        connect(os.environ["DATABASE_URL"])
    return _engines[0]


def connect(url: str) -> None:
    options: dict[str, Any] = {}
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
        options["pool_size"] = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
    else:
        url = url.replace("sqlite://", "sqlite+aiosqlite://", 1)
    engine = create_async_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    _engines.append(engine)


def _set_up_sqlite(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA busy_timeout = 30000")


@asynccontextmanager
async def get_session(tenant_id: uuid.UUID | None = None) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(
        get_engine(),
        sync_session_class=TenantSession,
        expire_on_commit=False,
        info={"tenant": tenant_id},
    ) as session:
        yield session


async def create_tables() -> None:
    async with get_engine().begin() as connection:
        await connection.run_sync(BaseModel.metadata.create_all)


async def close_db() -> None:
    if _engines:
        await _engines.pop().dispose()


# ---------------------------------------------------------------- repositories


class BaseRepository(Generic[T]):
    model: type[T]

    def __init_subclass__(cls) -> None:
        (cls.model,) = get_args(cls.__orig_bases__[0])  # type: ignore[attr-defined]  # of a subclass

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def create(self, data: dict[str, Any] | None = None, **fields: Any) -> T:
        record = self.model(**(data or {}), **fields)
        self.session.add(record)
        await self.session.flush()
        return record

    async def bulk_create(self, rows: list[dict[str, Any]]) -> list[T]:
        records = [self.model(**row) for row in rows]
        self.session.add_all(records)
        await self.session.flush()
        return records

    async def get_by_id(self, entity_id: uuid.UUID) -> T | None:
        return await self.session.scalar(select(self.model).where(self.model.id == entity_id))

    async def get(self, entity_id: uuid.UUID) -> T:
        found = await self.get_by_id(entity_id)
        if found is None:
            raise LookupError(entity_id)
        return found

    async def get_by_field(self, field: str, value: Any) -> T | None:
        found = await self.session.scalars(select(self.model).filter_by(**{field: value}))
        return found.one_or_none()

    async def list(self, *conditions: Any, **values: Any) -> list[T]:
        statement = select(self.model).where(*conditions).filter_by(**values)
        return list(await self.session.scalars(statement.order_by(self.model.created_at)))

    async def count(self, *conditions: Any, **values: Any) -> int:
        statement = select(func.count(self.model.id)).where(*conditions).filter_by(**values)
        return await self.session.scalar(statement) or 0

    async def exists(self, **values: Any) -> bool:
        return await self.count(**values) > 0

    async def update(self, entity: T | uuid.UUID, data: dict[str, Any] | None = None) -> T:
        record = entity if isinstance(entity, BaseModel) else await self.get(entity)
        for name, value in (data or {}).items():
            if name not in self.model.__mapper__.columns:
                raise AttributeError(name)
            setattr(record, name, value)
        await self.session.flush()
        return record

    async def delete(self, entity_id: uuid.UUID) -> bool:
        done = await self.session.execute(delete(self.model).where(self.model.id == entity_id))
        return done.rowcount > 0


class TenantRepository(BaseRepository[Tenant]):
    async def get_by_name(self, name: str) -> Tenant | None:
        return await self.get_by_field("name", name)


class WorkflowRepository(BaseRepository[Workflow]):
    async def get_by_name(self, name: str) -> Workflow | None:
        return await self.get_by_field("name", name)


class VendorRepository(BaseRepository[Vendor]):
    async def get_by_name(self, name: str) -> Vendor | None:
        return await self.get_by_field("name", name)

    async def record_failure(self, name: str) -> None:
        vendor = await self._locked(name)
        if vendor is None:
            return
        vendor.circuit_breaker_failure_count += 1
        if vendor.circuit_breaker_failure_count >= 3:
            vendor.circuit_breaker_state = CircuitState.OPEN
        await self.update(vendor)

    async def record_success(self, name: str) -> None:
        vendor = await self._locked(name)
        if vendor is None:
            return
        vendor.circuit_breaker_failure_count = 0
        vendor.circuit_breaker_state = CircuitState.CLOSED
        await self.update(vendor)

    async def _locked(self, name: str) -> Vendor | None:
        return await self.session.scalar(
            select(Vendor).where(Vendor.name == name).with_for_update()
        )


class EventRepository(BaseRepository[Event]):
    async def get_by_idempotency_key(self, idempotency_key: str) -> Event | None:
        return await self.get_by_field("idempotency_key", idempotency_key)

    async def get_recent_events(self, workflow_id: uuid.UUID, hours: int = 24) -> list[Event]:
        cutoff = now() - timedelta(hours=hours)
        result = await self.session.execute(
            select(Event)
            .where(Event.workflow_id == workflow_id)
            .where(Event.occurred_at >= cutoff)
            .order_by(Event.occurred_at.desc())
        )
        return list(result.scalars())

    async def count_events(self, workflow_id: uuid.UUID) -> int:
        return await self.count(workflow_id=workflow_id)

    async def count_by_type(self) -> dict[str, int]:
        rows = await self.session.execute(
            select(Event.event_type, func.count()).group_by(Event.event_type)
        )
        return dict(rows.all())


OPEN = (IncidentStatus.NEW, IncidentStatus.ANALYZING, IncidentStatus.ACTIONED)


class IncidentRepository(BaseRepository[Incident]):
    async def create_from_event(self, happened: Event) -> Incident:
        signature = signature_of(happened.workflow_id, happened.event_type, happened.payload)
        if not await self.exists(signature=signature):
            await self.create(
                signature=signature,
                title=title_of(happened.event_type, happened.payload),
                severity=Severity(severity_of(happened.event_type)),
                correlation_id=happened.correlation_id,
                first_seen_at=happened.occurred_at,
                last_seen_at=happened.occurred_at,
            )
        return await self.count_up(signature, happened.occurred_at)

    async def count_up(self, signature: str, occurred_at: datetime) -> Incident:
        locked = select(Incident).where(Incident.signature == signature).with_for_update()
        incident = (await self.session.scalars(locked)).one()
        incident.event_count += 1
        incident.last_seen_at = max(incident.last_seen_at, occurred_at)
        if incident.status is IncidentStatus.RESOLVED:
            incident.status = IncidentStatus.NEW
        return await self.update(incident)

    async def get_by_signature(self, signature: str) -> Incident | None:
        return await self.get_by_field("signature", signature)

    async def get_incidents_by_status(self, status: IncidentStatus) -> list[Incident]:
        newest = select(Incident).where(Incident.status == status)
        return list(await self.session.scalars(newest.order_by(Incident.created_at.desc())))

    async def get_incidents_paginated(self, page: int = 1, page_size: int = 20) -> list[Incident]:
        ordered = select(Incident).order_by(Incident.created_at, Incident.id)
        paged = ordered.offset((page - 1) * page_size).limit(page_size)
        return list(await self.session.scalars(paged))

    async def count_open(self) -> int:
        return await self.count(Incident.status.in_(OPEN))


class DecisionRepository(BaseRepository[Decision]):
    async def get_trail(self, incident_id: uuid.UUID) -> list[Decision]:
        return await self.list(incident_id=incident_id)


class ActionRepository(BaseRepository[Action]):
    async def get_pending(self, incident_id: uuid.UUID) -> list[Action]:
        return await self.list(incident_id=incident_id, status=ActionStatus.PENDING)

    async def start_next(self) -> Action | None:
        everything, this_one = KillSwitch.workflow_id.is_(None), Event.workflow_id
        stopped = exists().where(
            KillSwitch.tenant_id == Action.tenant_id,
            KillSwitch.is_active,
            or_(everything, KillSwitch.workflow_id == this_one),
        )
        found = await self.session.scalar(
            select(Action)
            .join(Decision, Action.decision_id == Decision.id)
            .join(Event, Decision.event_id == Event.id)
            .where(Action.status == ActionStatus.PENDING, ~stopped)
            .order_by(Action.created_at)
            .limit(1)
            .with_for_update(of=Action, skip_locked=True)
        )
        if found is None:
            return None
        return await self.update(found, {"status": ActionStatus.IN_PROGRESS})

    async def finish(self, action_id: uuid.UUID, *, succeeded: bool, result: dict) -> Action:
        status = ActionStatus.SUCCEEDED if succeeded else ActionStatus.FAILED
        return await self.update(action_id, {"status": status, "result": result})


class KillSwitchRepository(BaseRepository[KillSwitch]):
    async def activate(
        self, reason: str, by: str, workflow_id: uuid.UUID | None = None
    ) -> KillSwitch:
        return await self.create(workflow_id=workflow_id, reason=reason, activated_by=by)

    async def deactivate(self, switch_id: uuid.UUID) -> KillSwitch:
        return await self.update(switch_id, {"is_active": False})

    async def find_active(self, workflow_id: uuid.UUID) -> KillSwitch | None:
        everything, this_one = KillSwitch.workflow_id.is_(None), KillSwitch.workflow_id
        found = await self.list(KillSwitch.is_active, or_(everything, this_one == workflow_id))
        return found[0] if found else None
