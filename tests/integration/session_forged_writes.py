"""Ways to change or make records of another tenant, none of which may succeed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from session_house import CANARY, House, forged
from sqlalchemy.orm import Session, aliased


@forged
def record_of_the_other(session: Session, house: House):
    session.add(house.Page(slug="new", body="x", tenant_id="globex"))


@forged
def record_with_the_other_key(session: Session, house: House):
    session.add(house.Note(id=house.their_note, title="taken"))


@forged
def tenant_changed_on_a_loaded_record(session: Session, house: House):
    session.scalars(sa.select(house.Note)).first().tenant_id = "globex"


@forged
def tenant_changed_in_a_key(session: Session, house: House):
    session.scalars(sa.select(house.Page)).first().tenant_id = "globex"


@forged
def merge_of_the_other_key(session: Session, house: House):
    session.merge(house.Note(id=house.their_note, title="taken"))


@forged
def merge_without_load(session: Session, house: House):
    with house.db.session("globex") as other:
        theirs = other.get(house.Note, house.their_note)
    merged = session.merge(theirs, load=False)
    merged.title = "taken"
    session.flush()


@forged
def merge_with_the_other_tenant(session: Session, house: House):
    session.merge(house.Page(tenant_id="globex", slug="theirs", body="taken"))


def _moved(session: Session, house: House) -> Any:
    with house.db.session("globex") as other:
        theirs = other.get(house.Note, house.their_note)
        other.expunge(theirs)
    session.add(theirs)
    return theirs


@forged
def change_of_a_moved_record(session: Session, house: House):
    _moved(session, house).title = "taken"
    session.flush()


@forged
def moved_record_made_mine(session: Session, house: House):
    theirs = _moved(session, house)
    theirs.tenant_id = "acme"
    session.flush()


@forged
def deletion_of_a_moved_record(session: Session, house: House):
    session.delete(_moved(session, house))


@forged
def deletion_of_a_moved_page(session: Session, house: House):
    with house.db.session("globex") as other:
        theirs = other.get(house.Page, ("theirs", "globex"))
        theirs = theirs or other.scalars(sa.select(house.Page)).first()
        other.expunge(theirs)
    session.add(theirs)
    session.delete(theirs)


@forged
def refresh_of_a_moved_record(session: Session, house: House):
    theirs = _moved(session, house)
    theirs.title = None
    session.expire(theirs)
    session.refresh(theirs)
    return theirs.title


@forged
def links_of_a_moved_record(session: Session, house: House):
    theirs = _moved(session, house)
    session.refresh(theirs, ["team"])
    return theirs.team.name


@forged
def link_to_the_other(session: Session, house: House):
    session.add(house.Note(title="new", team_id=house.their_team))


@forged
def update_of_all(session: Session, house: House):
    session.execute(sa.update(house.Note).values(title="changed"))


@forged
def update_by_key(session: Session, house: House):
    session.execute(
        sa.update(house.Note).where(house.Note.id == house.their_note).values(title="taken")
    )


@forged
def update_by_rows(session: Session, house: House):
    session.execute(
        sa.update(house.Note), [{"id": house.their_note, "version": 1, "title": "taken"}]
    )


@forged
def update_of_the_tenant(session: Session, house: House):
    session.execute(sa.update(house.Page).values(tenant_id="globex"))


@forged
def update_of_the_tenant_by_column(session: Session, house: House):
    table = house.Page.__table__
    session.execute(sa.update(table).values({table.c.tenant_id: "globex", table.c.slug: "moved"}))


@forged
def update_of_the_tenant_in_order(session: Session, house: House):
    table = house.Page.__table__
    change = sa.update(table).ordered_values((table.c.tenant_id, "globex"), (table.c.slug, "m"))
    session.execute(change)


@forged
def update_of_the_tenant_by_parameters(session: Session, house: House):
    session.execute(sa.update(house.Page.__table__), {"tenant_id": "globex"})


@forged
def update_from_another_table(session: Session, house: House):
    change = sa.update(house.Note).where(house.Team.id == house.their_team)
    session.execute(
        change.values(title=house.Team.name), execution_options={"synchronize_session": False}
    )


@forged
def update_from_another_alias(session: Session, house: House):
    other = aliased(house.Note)
    change = sa.update(house.Note).where(other.id == house.their_note)
    session.execute(
        change.values(title=other.title), execution_options={"synchronize_session": False}
    )


@forged
def update_from_a_join(session: Session, house: House):
    other, page = house.Team.__table__, house.Page.__table__
    join = sa.join(other, page, sa.true())
    inner = sa.select(page.c.body).select_from(join).where(page.c.slug == "theirs")
    session.execute(sa.update(house.Note.__table__).values(title=inner.scalar_subquery()))


@forged
def update_that_returns_another_table(session: Session, house: House):
    change = sa.update(house.Note.__table__).values(title="x")
    change = change.where(house.Team.__table__.c.id == house.their_team)
    return session.execute(change.returning(house.Team.__table__.c.name)).all()


@forged
def update_with_a_subquery(session: Session, house: House):
    name = sa.select(house.Team.name).where(house.Team.id == house.their_team).scalar_subquery()
    session.execute(
        sa.update(house.Note).values(title=sa.func.coalesce(name, "none")),
        execution_options={"synchronize_session": False},
    )


@forged
def update_that_tells_whether_the_other_is_there(session: Session, house: House):
    change = sa.update(house.Note.__table__).values(title="x")
    found = session.execute(change.where(house.Team.__table__.c.name == f"{CANARY} team"))
    return CANARY if found.rowcount else "nothing"


@forged
def key_changed_to_the_other(session: Session, house: House):
    session.scalars(sa.select(house.Note)).first().id = house.their_note


@forged
def update_of_a_generated_key(session: Session, house: House):
    session.execute(sa.update(house.Note).values(id=house.their_note))


@forged
def update_or_replace(session: Session, house: House):
    statement = sa.update(house.Note).prefix_with("OR REPLACE")
    session.execute(statement.values(id=house.their_note))


@forged
def insert_or_replace(session: Session, house: House):
    session.execute(
        sa.insert(house.Note.__table__).prefix_with("or  replace"),
        [{"id": house.their_note, "title": "taken"}],
    )


@forged
def delete_of_all(session: Session, house: House):
    session.execute(sa.delete(house.Note))


@forged
def delete_by_key(session: Session, house: House):
    session.execute(sa.delete(house.Note).where(house.Note.id == house.their_note))


@forged
def delete_using_another_table(session: Session, house: House):
    gone = sa.delete(house.Page.__table__).where(house.Team.__table__.c.name == f"{CANARY} team")
    found = session.execute(gone)
    return CANARY if found.rowcount else "nothing"


@forged
def delete_in_an_expression(session: Session, house: House):
    gone = sa.delete(house.Note).returning(house.Note.title).cte("gone")
    return session.execute(sa.select(gone.c.title)).all()


@forged
def update_in_an_expression(session: Session, house: House):
    changed = sa.update(house.Note).values(title="taken").returning(house.Note.id).cte("changed")
    return session.execute(sa.select(changed.c.id)).all()


@forged
def insert_in_an_expression(session: Session, house: House):
    new = sa.insert(house.Page).values(slug="x", body="y", tenant_id="globex")
    made = new.returning(house.Page.slug).cte("made")
    return session.execute(sa.select(made.c.slug)).all()


@forged
def insert_in_an_expression_of_an_update(session: Session, house: House):
    table = house.Page.__table__
    new = sa.insert(table).values(slug="x", body="y", tenant_id="globex").returning(table.c.slug)
    change = (
        sa.update(table).values(body="z").where(table.c.slug.in_(sa.select(new.cte("n").c.slug)))
    )
    return session.execute(change)


@forged
def insert_of_the_other(session: Session, house: House):
    session.execute(sa.insert(house.Page).values(slug="x", body="y", tenant_id="globex"))


@forged
def insert_of_many(session: Session, house: House):
    rows = [{"slug": "a", "body": "b"}, {"slug": "c", "body": "d", "tenant_id": "globex"}]
    session.execute(sa.insert(house.Page), rows)


@forged
def insert_of_many_values(session: Session, house: House):
    rows = [
        {"slug": "a", "body": "b", "tenant_id": "acme"},
        {"slug": "c", "body": "d", "tenant_id": "globex"},
    ]
    session.execute(sa.insert(house.Page.__table__).values(rows))


@forged
def insert_with_an_expression(session: Session, house: House):
    values = {"slug": "a", "body": "b", "tenant_id": sa.literal("glo") + "bex"}
    session.execute(sa.insert(house.Page).values(values))


@forged
def insert_with_a_named_parameter(session: Session, house: House):
    values = {
        "slug": "a",
        "body": sa.bindparam("tenant_id_m", "acme"),
        "tenant_id": sa.bindparam("anything", "globex"),
    }
    session.execute(sa.insert(house.Page.__table__).values(values))


@forged
def insert_with_the_parameter_of_the_tenant(session: Session, house: House):
    values = {
        "slug": "a",
        "body": sa.bindparam("tenant_id", "acme"),
        "tenant_id": sa.bindparam("anything", "globex"),
    }
    session.execute(sa.insert(house.Page.__table__).values(values))


@forged
def insert_from_a_select(session: Session, house: House):
    page = house.Page
    found = sa.select(page.slug + "2", page.body, sa.literal("globex"))
    session.execute(sa.insert(page).from_select(["slug", "body", "tenant_id"], found))


@forged
def insert_that_returns(session: Session, house: House):
    new = sa.insert(house.Page).values(slug="x", body="y", tenant_id="globex")
    return session.execute(new.returning(house.Page)).all()


@forged
def insert_with_a_subquery(session: Session, house: House):
    body = sa.select(house.Page.body).where(house.Page.slug == "theirs").scalar_subquery()
    session.execute(sa.insert(house.Page).values(slug="x", body=sa.func.coalesce(body, "none")))


@forged
def upsert_on_the_other_key(session: Session, house: House):
    new = house.insert(house.Note).values(id=house.their_note, title="taken", version=1)
    change = new.on_conflict_do_update(index_elements=["id"], set_={"title": "taken"})
    return session.execute(change.returning(house.Note.title)).all()


@forged
def upsert_on_the_other_key_of_two(session: Session, house: House):
    new = house.insert(house.Page).values(slug="theirs", body="taken", tenant_id="globex")
    change = new.on_conflict_do_update(index_elements=["tenant_id", "slug"], set_={"body": "taken"})
    session.execute(change)


@forged
def upsert_that_moves(session: Session, house: House):
    new = house.insert(house.Page).values(slug="home", body="x")
    session.execute(
        new.on_conflict_do_update(
            index_elements=["tenant_id", "slug"], set_={"tenant_id": "globex", "slug": "m"}
        )
    )


@forged
def bulk_save(session: Session, house: House):
    session.bulk_save_objects([house.Page(slug="x", body="y", tenant_id="globex")])


@forged
def bulk_save_of_the_loaded(session: Session, house: House):
    with house.db.session("globex") as other:
        theirs = other.get(house.Note, house.their_note)
        other.expunge(theirs)
    theirs.title = "taken"
    session.bulk_save_objects([theirs])


@forged
def bulk_insert(session: Session, house: House):
    session.bulk_insert_mappings(house.Page, [{"slug": "x", "body": "y", "tenant_id": "globex"}])


@forged
def bulk_update(session: Session, house: House):
    session.bulk_update_mappings(
        house.Note, [{"id": house.their_note, "version": 1, "title": "taken"}]
    )


@forged
def bulk_update_of_the_tenant(session: Session, house: House):
    mine = session.scalars(sa.select(house.Note)).first()
    session.bulk_update_mappings(
        house.Note, [{"id": mine.id, "version": mine.version, "tenant_id": "globex"}]
    )
