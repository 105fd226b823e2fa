"""`session.delete(…)` leaves it to `on_delete` what becomes of the records that refer to one."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from dataflow import DataFlow, Field, Relationship


def declare_shelf(db: DataFlow, on_delete: str, *, back: bool) -> type:
    link = Relationship(back_populates="author") if back else Relationship()

    @db.model
    class Author:
        books: list[Book] = link

    if back:

        @db.model
        class Book:
            author_id: int | None = Field(None, foreign_key="authors.id", on_delete=on_delete)
            author: Author | None = Relationship(back_populates="books")

    else:

        @db.model  # type: ignore[no-redef]  # one of two
        class Book:
            author_id: int | None = Field(None, foreign_key="authors.id", on_delete=on_delete)

    return Author


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize(
    ("on_delete", "left"), [("restrict", [1]), ("cascade", []), ("set_null", [None])]
)
def test_others_are_kept_removed_or_forget_it_as_declared(
    db: DataFlow, on_delete: str, left: list[int | None], *, loaded: bool
):
    author = declare_shelf(db, on_delete, back=True)
    db.create("Author", {})
    db.create("Book", {"author_id": 1})
    options = [selectinload(author.books)] if loaded else []  # type: ignore[attr-defined]  # a link
    with db.session() as session:
        session.delete(session.get_one(author, 1, options=options))
        if on_delete == "restrict":
            with pytest.raises(IntegrityError):
                session.commit()
        else:
            session.commit()
    assert [book["author_id"] for book in db.list("Book")["records"]] == left


@pytest.mark.parametrize("back", [False, True])
def test_one_that_is_taken_out_of_a_loaded_link_forgets_it(db: DataFlow, *, back: bool):
    author = declare_shelf(db, "restrict", back=back)
    db.create("Author", {})
    db.create("Book", {"author_id": 1})
    with db.session() as session:
        loaded = session.scalars(
            sa.select(author).options(selectinload(author.books))  # type: ignore[attr-defined]  # a link
        ).one()
        loaded.books.clear()
        session.commit()
    assert db.list("Book")["records"][0]["author_id"] is None
