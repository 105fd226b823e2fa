"""Ways to read records of another tenant, none of which may succeed."""

from __future__ import annotations

import sqlalchemy as sa
from session_house import House, forged, titles
from sqlalchemy.orm import Session


@forged
def text_statement(session: Session, house: House):
    return session.execute(sa.text("SELECT * FROM notes")).all()


@forged
def text_after_a_comma(session: Session, house: House):
    return session.execute(sa.text("SELECT * FROM (SELECT 1) AS one, notes")).all()


@forged
def text_with_a_schema(session: Session, house: House):
    schema = "main" if house.db.database.driver.name == "sqlite" else "public"
    return session.execute(sa.text(f"SELECT * FROM {schema}.notes")).all()


@forged
def text_with_a_comment(session: Session, house: House):
    return session.execute(sa.text("SELECT * FROM /* all */ NOTES")).all()


@forged
def text_with_quotes(session: Session, house: House):
    return session.execute(sa.text('SELECT * FROM"notes"')).all()


@forged
def text_as_a_table_command(session: Session, house: House):
    return session.execute(sa.text("TABLE notes")).all()


@forged
def text_with_escaped_letters(session: Session, house: House):
    return session.execute(sa.text('SELECT * FROM U&"\\006eotes"')).all()


@forged
def text_with_columns(session: Session, house: House):
    found = sa.text("SELECT * FROM notes").columns(house.Note.id, house.Note.title)
    return session.scalars(sa.select(house.Note).from_statement(found)).all()


@forged
def text_in_a_condition(session: Session, house: House):
    inner = sa.text("notes.id IN (SELECT id FROM teams) OR (SELECT name FROM teams LIMIT 1) = ''")
    return titles(session, sa.select(house.Note.title).where(inner))


@forged
def literal_column(session: Session, house: House):
    return titles(session, sa.select(sa.literal_column("(SELECT max(title) FROM notes)")))


@forged
def literal_column_after_a_comma(session: Session, house: House):
    column = sa.literal_column("(SELECT max(title) FROM (SELECT 1) AS x, notes)")
    return titles(session, sa.select(column))


@forged
def hint_of_a_statement(session: Session, house: House):
    hint = "UNION ALL SELECT title FROM notes"
    return titles(session, sa.select(house.Note.title).with_statement_hint(hint))


@forged
def suffix_of_a_statement(session: Session, house: House):
    suffix = "UNION ALL SELECT title FROM notes"
    return titles(session, sa.select(house.Note.title).suffix_with(suffix))


@forged
def operator_that_holds_a_query(session: Session, house: House):
    condition = house.Note.title.op("IN (SELECT title FROM notes) OR '' =")("")
    return titles(session, sa.select(house.Note.title).where(condition))


@forged
def driver_sql(session: Session, house: House):
    return session.connection().exec_driver_sql("SELECT * FROM notes").all()


@forged
def driver_sql_that_writes(session: Session, house: House):
    return session.connection().exec_driver_sql("UPDATE notes SET title = 'taken'")


@forged
def definition_of_data(session: Session, house: House):
    return session.execute(sa.DDL("UPDATE notes SET title = 'taken'"))


@forged
def drop_of_a_table(session: Session, house: House):
    return session.execute(sa.schema.DropTable(house.Page.__table__))


@forged
def creation_of_a_table(session: Session, house: House):
    return session.execute(sa.DDL("CREATE TABLE taken AS SELECT * FROM (SELECT 1) AS x, notes"))


@forged
def light_table(session: Session, house: House):
    return session.execute(sa.select(sa.column("title")).select_from(sa.table("notes"))).all()


@forged
def light_table_in_other_letters(session: Session, house: House):
    return session.execute(sa.select(sa.column("title")).select_from(sa.table("NOTES"))).all()


@forged
def light_table_with_a_schema(session: Session, house: House):
    schema = "main" if house.db.database.driver.name == "sqlite" else "public"
    table = sa.table("notes", sa.column("title"), schema=schema)
    return session.execute(sa.select(table.c.title)).all()


@forged
def light_table_that_is_changed(session: Session, house: House):
    table = sa.table("notes", sa.column("title"))
    return session.execute(sa.update(table).values(title="taken"))


@forged
def light_table_that_is_emptied(session: Session, house: House):
    return session.execute(sa.delete(sa.table("pages")))


@forged
def light_table_that_grows(session: Session, house: House):
    table = sa.table("pages", *map(sa.column, ("slug", "body", "tenant_id")))
    return session.execute(sa.insert(table).values(slug="x", body="y", tenant_id="globex"))


@forged
def light_table_in_an_outer_join(session: Session, house: House):
    light = sa.table("notes", sa.column("title"))
    join = sa.outerjoin(house.Team.__table__, light, sa.true())
    return session.execute(sa.select(light.c.title).select_from(join)).all()


@forged
def table_of_other_metadata(session: Session, house: House):
    table = sa.Table("notes", sa.MetaData(), sa.Column("title", sa.String))
    return session.execute(sa.select(table)).all()


@forged
def table_with_a_false_tenant(session: Session, house: House):
    columns = (sa.Column("title", sa.String), sa.Column("title", sa.String, key="tenant_id"))
    table = sa.Table("notes", sa.MetaData(), *columns[:1])
    table.append_column(sa.Column("body", sa.String, key="tenant_id"))
    return session.execute(sa.select(table.c.title)).all()


@forged
def table_with_a_schema(session: Session, house: House):
    schema = "main" if house.db.database.driver.name == "sqlite" else "public"
    table = house.Note.__table__.to_metadata(sa.MetaData(), schema=schema)
    return session.execute(sa.select(table)).all()


@forged
def sampled_table(session: Session, house: House):
    sample = sa.tablesample(house.Note.__table__, sa.func.bernoulli(100))
    return session.execute(sa.select(sample.c.title)).all()


@forged
def sampled_table_in_an_outer_join(session: Session, house: House):
    sample = sa.tablesample(house.Note.__table__, sa.func.bernoulli(100), name="part")
    found = sa.select(sample.c.title).select_from(
        sa.outerjoin(house.Team.__table__, sample, sa.true())
    )
    return session.execute(found).all()


@forged
def lateral_join(session: Session, house: House):
    inner = sa.select(house.Note.title).lateral("inner")
    found = sa.select(house.Team.name, inner.c.title).join(inner, sa.true())
    return session.execute(found).all()


@forged
def lateral_outer_join(session: Session, house: House):
    inner = sa.lateral(sa.select(house.Note.title)).alias("inner")
    found = sa.select(inner.c.title).select_from(
        sa.outerjoin(house.Team.__table__, inner, sa.true())
    )
    return session.execute(found).all()


@forged
def option_of_a_statement(session: Session, house: House):
    options = {"dataflow_tenant": "globex"}
    return titles(session, sa.select(house.Note.title).execution_options(**options))


@forged
def option_of_an_execution(session: Session, house: House):
    options = {"dataflow_tenant": "globex"}
    return session.execute(sa.select(house.Note.title), execution_options=options).all()


@forged
def option_of_a_connection(session: Session, house: House):
    options = {"dataflow_tenant": "globex"}
    connection = session.connection(execution_options=options)
    return connection.execute(sa.select(house.Note.title)).all()


@forged
def parameter_of_the_scope(session: Session, house: House):
    names = [f"dataflow_session_tenant_of_{table}" for table in ("notes", "teams", "pages")]
    return session.execute(sa.select(house.Note.title), dict.fromkeys(names, "globex")).all()


@forged
def parameter_named_as_the_scope(session: Session, house: House):
    value = sa.bindparam("dataflow_session_tenant_of_notes", "globex")
    return titles(session, sa.select(house.Note.title).where(value != sa.literal("x")))


@forged
def engine_of_the_session(session: Session, house: House):
    with session.get_bind().connect() as connection:
        return connection.execute(sa.select(house.Note.title)).all()
