"""Foreign keys that must wait until all tables and their indexes are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

__all__ = ["links_of", "mark_late"]

Link = sa.ForeignKeyConstraint


def links_of(table: sa.Table) -> list[Link]:
    """Return the foreign keys that the database has, by name.

    A table's own collection has those that its author wrote, which a wider one may replace.
    """
    links = [item for item in table.constraints if isinstance(item, Link)]
    return sorted(links, key=lambda link: str(link.name))


def mark_late(tables: Iterable[sa.Table]) -> list[Link]:
    """Return the foreign keys that cannot be created with their table, marked `use_alter`.

    They are part of a cycle of tables, or lead to an index of their own table. Databases
    that cannot add a foreign key later do not look at what it leads to, and ignore the mark.
    """
    given = {table.fullname: table for table in tables}
    targets = {
        name: {_target(link) for link in table.foreign_key_constraints} & set(given)
        for name, table in given.items()
    }
    late = []
    for name, table in given.items():
        for link in {*table.foreign_key_constraints, *links_of(table)}:
            target = _target(link)
            alone = target == name and _leads_to_key(link, table)
            if target in given and not alone and name in _reached(targets, target):
                link.use_alter = True
        late += [link for link in links_of(table) if link.use_alter]
    return late


def _target(link: Link) -> str:
    return link.elements[0].target_fullname.rpartition(".")[0]


def _leads_to_key(link: Link, table: sa.Table) -> bool:
    names = {element.target_fullname.rpartition(".")[2] for element in link.elements}
    return names == {str(column.name) for column in table.primary_key.columns}


def _reached(targets: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the tables that foreign keys lead to from one, itself included."""
    found, new = set[str](), {start}
    while new:
        found |= new
        new = {target for name in new for target in targets[name]} - found
    return found
