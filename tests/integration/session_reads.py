"""Reads in a session, with what they yield."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from session_house import CANARY, MINE, House, reads, titles
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, subqueryload

BOTH = ["mine 1", "mine 2"]
TEAM = ["mine team"]


@reads(MINE)
def select_of_entity(session: Session, house: House):
    return sorted(note.title for note in session.scalars(sa.select(house.Note)))


@reads(MINE)
def select_of_column(session: Session, house: House):
    return titles(session, sa.select(house.Note.title))


@reads(MINE)
def core_select_of_table(session: Session, house: House):
    return titles(session, sa.select(house.Note.__table__.c.title))


@reads(MINE)
def core_select_on_the_connection(session: Session, house: House):
    rows = session.connection().execute(sa.select(house.Note.__table__.c.title))
    return sorted(row[0] for row in rows)


@reads(MINE)
def aliased_entity(session: Session, house: House):
    other = aliased(house.Note)
    return titles(session, sa.select(other.title))


@reads(MINE)
def alias_of_an_alias(session: Session, house: House):
    other = house.Note.__table__.alias("inner").alias("outer")
    return titles(session, sa.select(other.c.title))


@reads(9)
def product_of_two_aliases(session: Session, house: House):
    one, two = aliased(house.Note), aliased(house.Note)
    return session.scalar(sa.select(sa.func.count()).select_from(one).join(two, sa.true()))


@reads(MINE)
def subquery(session: Session, house: House):
    inner = sa.select(house.Note).subquery()
    return titles(session, sa.select(inner.c.title))


@reads(MINE)
def aliased_subquery(session: Session, house: House):
    other = aliased(house.Note, sa.select(house.Note).subquery())
    return titles(session, sa.select(other.title))


@reads(MINE)
def common_table_expression(session: Session, house: House):
    inner = sa.select(house.Note.title).cte("inner")
    return titles(session, sa.select(inner.c.title))


@reads([*MINE, *MINE, *MINE])
def recursive_expression(session: Session, house: House):
    note = house.Note
    start = sa.select(note.title, sa.literal(1).label("n")).cte("deep", recursive=True)
    step = sa.select(note.title, start.c.n + 1).join(start, start.c.title == note.title)
    deep = start.union_all(step.where(start.c.n < 3))
    return [*session.scalars(sa.select(deep.c.title).order_by(deep.c.n, deep.c.title))]


@reads([*MINE, *TEAM])
def union(session: Session, house: House):
    both = sa.union(sa.select(house.Note.title), sa.select(house.Team.name))
    return titles(session, both)


@reads([])
def difference(session: Session, house: House):
    gone = sa.except_(sa.select(house.Note.__table__.c.title), sa.select(aliased(house.Note).title))
    return titles(session, gone)


@reads(MINE)
def entities_of_a_union(session: Session, house: House):
    both = sa.union_all(sa.select(house.Note), sa.select(house.Note).where(sa.false()))
    found = session.scalars(sa.select(house.Note).from_statement(both))
    return sorted(note.title for note in found)


@reads(TEAM)
def exists(session: Session, house: House):
    inner = sa.select(house.Note.id).where(house.Note.title.startswith("mine")).exists()
    return titles(session, sa.select(house.Team.name).where(inner))


@reads([])
def exists_only_elsewhere(session: Session, house: House):
    inner = sa.select(house.Note.id).where(house.Note.title.startswith(CANARY)).exists()
    return titles(session, sa.select(house.Team.name).where(inner))


@reads([])
def relationship_exists(session: Session, house: House):
    theirs = house.Team.notes.any(house.Note.title.startswith(CANARY))
    return titles(session, sa.select(house.Team.name).where(theirs))


@reads([3])
def scalar_subquery_in_columns(session: Session, house: House):
    count = sa.select(sa.func.count()).select_from(house.Note).scalar_subquery()
    return [*session.scalars(sa.select(count.label("n")).select_from(house.Team))]


@reads(3)
def scalar_subquery_alone(session: Session, house: House):
    count = sa.select(sa.func.count()).select_from(house.Note).scalar_subquery()
    return session.scalar(sa.select(count))


@reads(BOTH)
def correlated_subquery(session: Session, house: House):
    name = sa.select(house.Team.name).where(house.Team.id == house.Note.team_id).scalar_subquery()
    return titles(session, sa.select(house.Note.title).where(name.is_not(None)))


@reads([("mine 1", "mine team"), ("mine 2", "mine team")])
def inner_join(session: Session, house: House):
    found = sa.select(house.Note.title, house.Team.name).join(house.Note.team)
    return sorted(map(tuple, session.execute(found)))


@reads([("mine 1", "mine team"), ("mine 2", "mine team"), ("mine loose", None)])
def left_join(session: Session, house: House):
    found = sa.select(house.Note.title, house.Team.name).outerjoin(house.Note.team)
    return sorted(map(tuple, session.execute(found)))


@reads([("mine team", "mine 1"), ("mine team", "mine 2"), ("mine team", "mine loose")])
def left_join_on_anything(session: Session, house: House):
    found = sa.select(house.Team.name, house.Note.title).outerjoin(house.Note, sa.true())
    return sorted(map(tuple, session.execute(found)))


@reads([("mine team", "mine 1"), ("mine team", "mine 2"), (None, "mine loose")])
def full_join(session: Session, house: House):
    join = sa.join(house.Team, house.Note, house.Note.team_id == house.Team.id, full=True)
    found = sa.select(house.Team.name, house.Note.title).select_from(join)
    return sorted(map(tuple, session.execute(found)), key=lambda row: row[1])


@reads([("mine team", "mine 1"), ("mine team", "mine 2"), ("mine team", "mine loose")])
def left_join_of_an_alias(session: Session, house: House):
    other = aliased(house.Note)
    found = sa.select(house.Team.name, other.title).outerjoin(other, sa.true())
    return sorted(map(tuple, session.execute(found)))


@reads([("mine team", "mine home"), ("mine team", "mine home"), ("mine team", "mine home")])
def left_join_of_a_join(session: Session, house: House):
    inner = sa.join(house.Note, house.Page, sa.true())
    join = sa.outerjoin(house.Team, inner, sa.true())
    found = sa.select(house.Team.name, house.Page.body).select_from(join)
    return sorted(map(tuple, session.execute(found)))


@reads(["mine home"])
def join_of_the_given_key(session: Session, house: House):
    other = aliased(house.Page)
    same = sa.select(other.body).join(house.Page, house.Page.slug == other.slug)
    return titles(session, same)


@reads(("mine 1", None))
def get_by_key(session: Session, house: House):
    mine = session.scalars(sa.select(house.Note).where(house.Note.title == "mine 1")).one()
    key = mine.id
    session.expunge_all()
    return session.get(house.Note, key).title, session.get(house.Note, house.their_note)


def _loaded(session: Session, house: House, load: Any) -> Any:
    teams = session.scalars(sa.select(house.Team).options(load(house.Team.notes))).unique()
    return [(team.name, sorted(note.title for note in team.notes)) for team in teams]


@reads([("mine team", BOTH)])
def selectin_load(session: Session, house: House):
    return _loaded(session, house, selectinload)


@reads([("mine team", BOTH)])
def joined_load(session: Session, house: House):
    return _loaded(session, house, joinedload)


@reads([("mine team", BOTH)])
def subquery_load(session: Session, house: House):
    return _loaded(session, house, subqueryload)


@reads([("mine team", BOTH)])
def lazy_load(session: Session, house: House):
    return _loaded(session, house, sa.orm.lazyload)


@reads(["mine 1", "mine 2", "mine loose"])
def locked_rows(session: Session, house: House):
    found = session.scalars(sa.select(house.Note).with_for_update())
    return sorted(note.title for note in found)


@reads(MINE)
def many_at_a_time(session: Session, house: House):
    found = session.scalars(sa.select(house.Note), execution_options={"yield_per": 1})
    return sorted(note.title for part in found.partitions() for note in part)


@reads(MINE)
def legacy_query(session: Session, house: House):
    return sorted(note.title for note in session.query(house.Note).all())


@reads(3)
def count_of_legacy_query(session: Session, house: House):
    return session.query(house.Note).count()


@reads(3)
def count_of_rows(session: Session, house: House):
    return session.scalar(sa.select(sa.func.count()).select_from(house.Note.__table__))


@reads(MINE)
def lambda_statement(session: Session, house: House):
    note = house.Note
    return titles(session, sa.lambda_stmt(lambda: sa.select(note.title)))


@reads(MINE)
def compiled_by_a_listener(session: Session, house: House):
    def widen(state: Any) -> None:
        state.statement = sa.select(house.Note.title)

    sa.event.listen(session, "do_orm_execute", widen, once=True)
    return titles(session, sa.select(house.Team.name))


@reads(MINE)
def statement_with_words_around_it(session: Session, house: House):
    found = sa.select(house.Note.title).prefix_with(sa.text("DISTINCT"))
    return titles(session, found.where(sa.text("notes.title LIKE '%'")))
