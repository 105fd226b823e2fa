"""Pages of queries that users write themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dataflow import DataFlow
from dataflow.errors import CursorError, ParameterError, UnknownFieldError
from dataflow.repositories import (
    DatabasePaginator,
    PaginationHelper,
    PaginationParams,
    PerformancePaginator,
)


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int]
    items: Mapped[list[Item]] = relationship(lazy="joined", order_by="Item.id")


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelves.id"))


@pytest.fixture
def session(db: DataFlow) -> Iterator[Session]:
    db.adopt(Shelf, Item)
    with db.session() as opened:
        opened.add_all(Shelf(rank=n // 2, items=[Item(), Item()]) for n in range(25))
        opened.commit()
        yield opened


def ids(records: Any) -> list[int]:
    return [record.id for record in records]


@pytest.mark.parametrize("kind", ["select", "query"])
def test_pages_by_number_have_a_total(session: Session, kind: str):
    if kind == "select":
        query: Any = sa.select(Shelf).where(Shelf.id > 5).order_by(Shelf.id)
    else:
        query = session.query(Shelf).filter(Shelf.id > 5).order_by(Shelf.id)
    paginator = DatabasePaginator(session)

    first = paginator.paginate(query)
    third = paginator.paginate(query, PaginationParams(3, 8))
    uncounted = paginator.paginate(query, PaginationParams(1, 8, count=False))

    assert (ids(first), first.total, first.has_next) == (list(range(6, 26)), 20, False)
    assert (ids(third), third.pages, third.has_prev) == ([22, 23, 24, 25], 3, True)
    assert (uncounted.total, uncounted.has_next) == (None, True)
    assert len(first.items[0].items) == 2


def test_small_estimates_are_counted(session: Session):
    query = sa.select(Shelf).order_by(Shelf.id)

    page, total = PerformancePaginator.paginate_with_count_estimate(session, query, 2, 10)

    assert (ids(page), total) == (list(range(11, 21)), 25)


def test_large_estimates_stand_for_the_count(session: Session):
    query = sa.select(Shelf).where(Shelf.id > 0).order_by(Shelf.id)

    _, total = PerformancePaginator.paginate_with_count_estimate(session, query, count_threshold=1)

    assert total >= 1
    if session.get_bind().dialect.name == "sqlite":
        assert total == 25


@pytest.mark.parametrize("page", [1, 2, 3, 4])
def test_deep_pages_are_those_of_the_same_order(session: Session, page: int):
    query = sa.select(Shelf).where(Shelf.id > 2)
    expected = session.scalars(query.order_by(Shelf.rank, Shelf.id)).unique().all()

    found, total = PerformancePaginator.deep_pagination_optimize(session, query, page, 10, "rank")

    assert ids(found) == ids(expected)[(page - 1) * 10 : page * 10]
    assert total == 23


def test_what_is_no_query_of_one_model_is_refused(session: Session):
    with pytest.raises(ParameterError, match="select"):
        DatabasePaginator(session).paginate("SELECT 1")
    with pytest.raises(ParameterError, match="one model"):
        PerformancePaginator.deep_pagination_optimize(session, sa.select(Shelf.id), 1, 10, "rank")
    with pytest.raises(UnknownFieldError, match="created_at"):
        PerformancePaginator.deep_pagination_optimize(session, sa.select(Shelf))
    with pytest.raises(ParameterError, match="page"):
        PerformancePaginator.paginate_with_count_estimate(session, sa.select(Shelf), page=0)


def test_cursors_of_own_statements_are_signed():
    helper = PaginationHelper("secret", "shelves")
    cursor = helper.encode_cursor([7, "é", None])

    assert helper.decode_cursor(cursor, 3) == [7, "é", None]
    assert PaginationHelper(b"secret", "shelves").decode_cursor(cursor, 3) == [7, "é", None]
    for other in (PaginationHelper("other", "shelves"), PaginationHelper("secret", "items")):
        with pytest.raises(CursorError):
            other.decode_cursor(cursor, 3)
    with pytest.raises(CursorError):
        helper.decode_cursor(cursor, 2)
    with pytest.raises(CursorError):
        helper.decode_cursor("x" + cursor[1:], 3)
