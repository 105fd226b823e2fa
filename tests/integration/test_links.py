"""Relationships, loaded on request, with one statement for each link."""

import uuid
from collections.abc import Callable
from typing import Any, Optional

import pytest

from dataflow import DataFlow, Field, Relationship
from dataflow.errors import OptionError, UnknownFieldError, UnknownModelError

Statements = Callable[[], list[str]]


def declare_blog(db: DataFlow) -> None:
    @db.model(timestamps=False)
    class User:
        id: int
        name: str
        posts: list["Post"] = Relationship(back_populates="author")

    @db.model(timestamps=False)
    class Post:
        id: int
        title: str
        author_id: int = Field(foreign_key="users.id")
        author: User = Relationship(back_populates="posts")
        comments: list["Comment"] = Relationship(back_populates="post")

    @db.model(timestamps=False)
    class Comment:
        id: int
        text: str
        post_id: int = Field(foreign_key=Post)
        writer_id: int | None = Field(default=None, foreign_key=User)
        post: Post = Relationship(back_populates="comments")
        writer: User | None = Relationship()

    db.bulk_create("User", [{"name": "Ada"}, {"name": "Bob"}, {"name": "Cyd"}])
    db.bulk_create(
        "Post",
        [
            {"title": "one", "author_id": 1},
            {"title": "two", "author_id": 1},
            {"title": "three", "author_id": 2},
        ],
    )
    db.bulk_create(
        "Comment",
        [{"text": "c1", "post_id": 1, "writer_id": 2}, {"text": "c2", "post_id": 1}],
    )


@pytest.fixture
def blog(db: DataFlow) -> DataFlow:
    declare_blog(db)
    return db


ADA = {"id": 1, "name": "Ada"}
ONE = {"id": 1, "title": "one", "author_id": 1}
TWO = {"id": 2, "title": "two", "author_id": 1}


def test_a_link_to_one_record_is_included(blog: DataFlow):
    assert blog.read("Post", 1, include=["author"]) == {**ONE, "author": ADA}


def test_a_link_to_many_records_is_included_in_order_of_their_key(blog: DataFlow):
    assert blog.read("User", 1, include=["posts"]) == {**ADA, "posts": [ONE, TWO]}
    assert blog.read("User", 3, include="posts") == {"id": 3, "name": "Cyd", "posts": []}


def test_a_link_that_is_not_asked_for_is_absent(blog: DataFlow):
    assert blog.read("Post", 1) == ONE


def test_a_link_over_an_empty_key_is_none(blog: DataFlow):
    records = blog.list("Comment", include=["writer"])["records"]

    assert [record["writer"] for record in records] == [{"id": 2, "name": "Bob"}, None]


def test_links_of_links_are_included_by_dotted_names(blog: DataFlow):
    comment = blog.read("Comment", 1, include=["post.author", "writer"])
    user = blog.read("User", 1, include=["posts.comments.writer", "posts.author"])

    first = {"id": 1, "text": "c1", "post_id": 1, "writer_id": 2}
    second = {"id": 2, "text": "c2", "post_id": 1, "writer_id": None}
    assert comment == {
        **first, "post": {**ONE, "author": ADA}, "writer": {"id": 2, "name": "Bob"},
    }  # fmt: skip
    assert user == {
        **ADA,
        "posts": [
            {
                **ONE,
                "comments": [
                    {**first, "writer": {"id": 2, "name": "Bob"}},
                    {**second, "writer": None},
                ],
                "author": ADA,
            },
            {**TWO, "comments": [], "author": ADA},
        ],
    }


def test_each_link_costs_one_statement_however_many_records(
    logged_db: DataFlow, statements: Statements
):
    declare_blog(logged_db)
    logged_db.bulk_create("Post", [{"title": "x", "author_id": n % 3 + 1} for n in range(300)])
    statements()

    page = logged_db.list("Post", limit=None, include=["author", "comments.writer"])

    assert page["count"] == 303
    assert len(statements()) == 4


def test_chosen_fields_and_links_are_all_that_is_returned(blog: DataFlow):
    page = blog.list("Post", {"id": 1}, fields=["title"], include=["author"])
    one = blog.read("Post", 1, fields=["title"], include=["author", "comments"])

    assert page["records"] == [{"title": "one", "author": ADA}]
    assert list(one) == ["title", "author", "comments"]


def test_an_unknown_link_is_refused_with_the_nearest(blog: DataFlow):
    for name in ("autor", "author.pots"):
        with pytest.raises(UnknownFieldError):
            blog.list("Post", include=[name])
    with pytest.raises(UnknownFieldError) as caught:
        blog.read("Post", 1, include=["autor"])

    assert str(caught.value) == (
        "model 'Post' has no field 'autor'.\n  help: did you mean 'author'?\n  code: DF108"
    )


def test_a_model_may_link_to_itself_in_both_directions(db: DataFlow):
    @db.model(timestamps=False)
    class Employee:
        id: int
        name: str
        manager_id: int | None = Field(default=None, foreign_key="employees.id")
        manager: Optional["Employee"] = Relationship(back_populates="reports")
        reports: list["Employee"] = Relationship(back_populates="manager")

    db.bulk_create("Employee", [{"name": "Boss"}, {"name": "Ada", "manager_id": 1}])

    boss = {"id": 1, "name": "Boss", "manager_id": None}
    ada = {"id": 2, "name": "Ada", "manager_id": 1}
    assert db.read("Employee", 2, include=["manager"]) == {**ada, "manager": boss}
    assert db.read("Employee", 1, include=["reports"]) == {**boss, "reports": [ada]}
    assert db.read("Employee", 1, include=["manager"]) == {**boss, "manager": None}


def test_the_foreign_key_is_named_where_several_lead_to_the_model(db: DataFlow):
    @db.model(timestamps=False)
    class User:
        id: int
        written: list["Message"] = Relationship(foreign_key="sender_id")

    @db.model(timestamps=False)
    class Message:
        id: int
        sender_id: int = Field(foreign_key=User)
        receiver_id: int = Field(foreign_key=User)
        sender: User = Relationship(foreign_key="sender_id")
        receiver: User = Relationship(foreign_key="receiver_id")

    db.bulk_create("User", [{}, {}])
    message = db.create("Message", {"sender_id": 1, "receiver_id": 2})

    assert db.read("Message", 1, include=["sender", "receiver"]) == {
        **message, "sender": {"id": 1}, "receiver": {"id": 2},
    }  # fmt: skip
    assert db.read("User", 1, include="written") == {"id": 1, "written": [message]}
    assert db.read("User", 2, include="written") == {"id": 2, "written": []}


def test_links_work_over_uuid_and_text_keys(db: DataFlow):
    @db.model(timestamps=False)
    class Country:
        id: str
        cities: list["City"] = Relationship()

    @db.model(timestamps=False)
    class City:
        id: uuid.UUID
        country_id: str = Field(foreign_key=Country)
        twin_id: uuid.UUID | None = Field(default=None, foreign_key="cities.id")
        country: Country = Relationship()

    db.create("Country", {"id": "AT"})
    city = db.create("City", {"country_id": "AT"})

    assert db.read("City", city["id"], include=["country"]) == {**city, "country": {"id": "AT"}}
    assert db.read("Country", "AT", include=["cities"]) == {"id": "AT", "cities": [city]}


def test_deleted_records_are_not_included(db: DataFlow):
    @db.model(timestamps=False, soft_delete=True)
    class User:
        id: int
        posts: list["Post"] = Relationship()

    @db.model(timestamps=False, soft_delete=True)
    class Post:
        id: int
        user_id: int = Field(foreign_key=User)

    db.create("User", {})
    db.bulk_create("Post", [{"user_id": 1}, {"user_id": 1}])
    db.delete("Post", 1)

    user = db.read("User", 1, include=["posts"])

    assert [post["id"] for post in user["posts"]] == [2]


def test_a_link_without_a_foreign_key_says_what_is_missing(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: int

    @memory.model(timestamps=False)
    class Post:
        id: int
        author: User = Relationship()

    memory.create("User", {})
    memory.create("Post", {})

    for _ in range(2):
        with pytest.raises(OptionError) as caught:
            memory.list("Post", include=["author"])

        assert caught.value.advice() == "declare one: Field(foreign_key='users.id')"


def test_a_link_to_a_model_that_is_not_declared_leaves_the_others_alone(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: int
        badges: list["Badge"] = Relationship()  # noqa: F821 - declared later or never

    @memory.model(timestamps=False)
    class Post:
        id: int
        author_id: int = Field(foreign_key=User)
        author: User = Relationship()

    memory.create("User", {})
    memory.create("Post", {"author_id": 1})

    for _ in range(2):
        with pytest.raises(UnknownModelError) as caught:
            memory.list("User", include=["badges"])

        assert str(caught.value).startswith("there is no model 'Badge'.")
    page: Any = memory.list("Post", include=["author"])
    assert page["records"] == [{"id": 1, "author_id": 1, "author": {"id": 1}}]
