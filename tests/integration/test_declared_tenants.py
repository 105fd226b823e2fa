"""Models that declare `tenant_id` themselves, for a type of their own."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import OptionError

TENANTS = [("acme", str), (7, int), (uuid.UUID(int=7), uuid.UUID)]


@pytest.mark.parametrize(("tenant", "kind"), TENANTS)
def test_new_records_of_a_session_are_its_tenants_in_every_way(
    db: DataFlow, tenant: Any, kind: type
):
    @db.model(multi_tenant=True)
    class Note:
        tenant_id: kind  # type: ignore[valid-type]  # a parameter
        text: str = ""

    def fill(session: Session) -> None:
        session.add(Note(text="object"))
        session.execute(sa.insert(Note), [{"text": "rows"}])
        session.execute(sa.insert(Note).values(text="values"))
        session.bulk_insert_mappings(Note, [{"text": "mappings"}])  # type: ignore[arg-type]  # mapped
        session.bulk_save_objects([Note(text="objects")])
        session.commit()

    with db.session(tenant) as session:
        fill(session)
    with db.all_tenants():
        records = db.list("Note")["records"]
    assert [record["tenant_id"] for record in records] == [tenant] * 5


def test_its_column_is_called_like_the_field(memory: DataFlow):
    with pytest.raises(OptionError, match="'tenant_id' has the column 'org'"):

        @memory.model(multi_tenant=True)
        class Note:
            tenant_id: int = Field(column="org")

    class Base(DeclarativeBase):
        pass

    class Page(Base):
        __tablename__ = "pages"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[int] = mapped_column("org")

    with pytest.raises(OptionError, match="'tenant_id' has the column 'org'"):
        memory.model(Page, multi_tenant=True)
