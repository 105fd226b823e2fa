"""Ways to declare a model: plain, `Model`, mixins, SQLAlchemy, notebooks, twice."""

import datetime as dt
import enum
from decimal import Decimal
from typing import Any, ClassVar, NewType

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from dataflow import DataFlow, Field, LocalRuntime, Model, Relationship, WorkflowBuilder
from dataflow.errors import (
    AmbiguousNodeError,
    AnnotationError,
    DuplicateModelError,
    DuplicateNodeError,
    OptionError,
    UnknownModelError,
)


def test_the_decorated_class_is_the_same_object_and_constructible(db: DataFlow):
    class User:
        """A person."""

        id: int
        name: str
        tags: list = []
        active: bool = True

        def shout(self) -> str:
            return self.name.upper()

    decorated = db.model(User)
    user = User(name="Ada")

    assert decorated is User
    assert (user.name, user.active, user.tags, user.shout()) == ("Ada", True, [], "ADA")
    assert User.__doc__ == "A person."
    assert User.__dataflow__.table.name == "users"
    assert repr(user) == "User(name='Ada', tags=[], active=True)"


def test_the_constructor_refuses_unknown_fields_with_the_nearest(memory: DataFlow):
    @memory.model
    class User:
        id: int
        email: str

    with pytest.raises(TypeError) as caught:
        User(emial="x")

    assert str(caught.value) == "User() has no field 'emial': did you mean 'email'?"


def test_a_class_with_a_constructor_of_its_own_keeps_it(memory: DataFlow):
    @memory.model
    class User:
        id: int
        name: str

        def __init__(self, first: str) -> None:
            self.name = first

        def __repr__(self) -> str:
            return "mine"

    assert (User("Ada").name, repr(User("Ada"))) == ("Ada", "mine")


def test_a_subclass_of_model_is_the_same_as_a_plain_class(db: DataFlow):
    @db.model(timestamps=False)
    class User(Model):
        id: int
        name: str
        age: int = 3

    assert db.create("User", {"name": "Ada"}) == {"id": 1, "name": "Ada", "age": 3}
    assert User(name="Ada").age == 3


def test_a_model_that_was_not_decorated_cannot_be_constructed():
    class User(Model):
        name: str

    with pytest.raises(TypeError) as caught:
        User(name="Ada")

    assert str(caught.value) == "User is not a model yet: decorate it with @db.model"


def test_fields_of_plain_base_classes_are_inherited(db: DataFlow):
    class Named:
        name: str = Field(max_length=5)

        def hello(self) -> str:
            return f"Hello {self.name}"

    class Owned:
        owner: str = "nobody"

    @db.model(timestamps=False)
    class Cat(Named, Owned):
        id: int
        lives: int = 9

    @db.model(timestamps=False)
    class Dog(Named, Owned):
        id: int
        owner: str = "Ada"

    assert db.create("Cat", {"name": "Tom"}) == {
        "id": 1, "owner": "nobody", "name": "Tom", "lives": 9,
    }  # fmt: skip
    assert db.create("Dog", {"name": "Rex"}) == {"id": 1, "owner": "Ada", "name": "Rex"}
    assert Cat(name="Tom").hello() == "Hello Tom"


def test_a_model_that_inherits_from_a_model_is_refused(memory: DataFlow):
    @memory.model
    class Animal:
        id: int

    with pytest.raises(OptionError) as caught:

        @memory.model
        class Dog(Animal):
            name: str

    assert str(caught.value) == (
        "model 'Dog': it inherits from the model 'Animal'.\n"
        "  help: put the common fields into a plain class and let both models inherit that\n"
        "  code: DF114"
    )


UserId = NewType("UserId", int)


def test_class_variables_and_private_names_are_no_fields(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: UserId
        limit: ClassVar[int] = 5

        @property
        def double(self) -> int:
            return self.limit * 2

    assert list(User.__dataflow__.fields) == ["id"]
    assert User().double == 10


# ------------------------------------------------------------------------- naming


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("User", "users"), ("BlogPost", "blog_posts"), ("Category", "categories"), ("Box", "boxes"),
        ("Address", "addresses"), ("Person", "people"), ("HTTPRequest", "http_requests"),
        ("Day", "days"), ("OAuth2Token", "o_auth2_tokens"), ("Branch", "branches"),
    ],
)  # fmt: skip
def test_a_table_is_named_in_plural_snake_case(memory: DataFlow, name: str, table: str):
    model = type(name, (), {"__annotations__": {"id": int}})

    memory.model(model)

    assert memory.get_model_info(name)["table"] == table


def test_a_table_name_may_be_given(db: DataFlow):
    @db.model(timestamps=False)
    class User:
        __tablename__ = "person"
        id: int

    @db.model(timestamps=False, table="things_of_old")
    class Thing:
        id: int
        user_id: int = Field(foreign_key="person.id")

    db.create("person", {})

    assert db.create("things_of_old", {"user_id": 1}) == {"id": 1, "user_id": 1}


# ------------------------------------------------------------------------ duplicates


def test_the_same_name_twice_is_refused_with_both_places(memory: DataFlow):
    @memory.model
    class User:
        id: int

    with pytest.raises(DuplicateModelError) as caught:

        @memory.model  # type: ignore[no-redef]  # the mistake
        class User:
            id: int

    first, second = caught.value.first, caught.value.second
    assert first.startswith(f"{__file__}:")
    assert second.startswith(f"{__file__}:")
    assert int(second.rpartition(":")[2]) > int(first.rpartition(":")[2])
    assert str(caught.value) == (
        f"model 'User' is defined twice: at {first} and at {second}.\n"
        "  help: rename one of them, or give each its own DataFlow object\n"
        "  code: DF106"
    )
    assert memory.create("User", {})["id"] == 1


@pytest.mark.parametrize("table", ["users", "USERS"])
def test_the_same_table_twice_is_refused(memory: DataFlow, table: str):
    @memory.model
    class User:
        id: int

    with pytest.raises(DuplicateModelError) as caught:

        @memory.model(table=table)
        class Member:
            id: int

    assert caught.value.problem_text() == (
        f"model 'Member' at {caught.value.second} has the table {table!r}, "
        f"which the model at {caught.value.first} has already."
    )
    assert memory.list_models() == ["User"]


def test_two_models_whose_nodes_would_share_a_name_are_refused(memory: DataFlow):
    @memory.model
    class User:
        id: int

    with pytest.raises((DuplicateNodeError, DuplicateModelError)):

        @memory.model
        class UserBulk:
            id: int

    assert memory.list_models() == ["User"]
    assert len(memory.nodes.names()) == 9 + 1  # and AggregateNode
    assert memory.nodes.UserBulkCreateNode.outputs()["inserted"] is int


def run_cell(source: str, names: dict[str, Any], number: int = 1) -> None:
    exec(compile(source, f"<ipython-input-{number}>", "exec"), names)


CELL = "@db.model(timestamps=False)\nclass User:\n    id: int\n    name: str\n"


@pytest.mark.parametrize("number", [1, 2])
def test_a_notebook_cell_that_runs_again_replaces_its_model(db: DataFlow, number: int):
    names = {"db": db, "__name__": "__main__"}
    run_cell(CELL, names)
    first = names["User"]
    db.create("User", {"name": "Ada"})

    run_cell(CELL + "    age: int = 5\n", names, number)

    assert names["User"] is not first
    assert db.list_models() == ["User"]
    assert len(db.nodes.names()) == 9 + 1  # and AggregateNode
    assert db.list(names["User"])["records"] == [{"id": 1, "name": "Ada", "age": 5}]
    assert db.create("User", {"name": "Bob"}) == {"id": 2, "name": "Bob", "age": 5}


def test_links_follow_a_model_that_a_notebook_replaced(db: DataFlow):
    names = {"db": db, "Field": Field, "Relationship": Relationship, "__name__": "__main__"}
    post = (
        "@db.model(timestamps=False)\nclass Post:\n    id: int\n"
        "    user_id: int = Field(foreign_key='users.id')\n    user: User = Relationship()\n"
    )
    run_cell(CELL, names)
    run_cell(post, names, 2)
    db.create("User", {"name": "Ada"})
    db.create("Post", {"user_id": 1})
    before = db.read("Post", 1, include=["user"])

    run_cell(CELL + "    age: int = 5\n", names, 3)
    after = db.read("Post", 1, include=["user"])

    assert before == {"id": 1, "user_id": 1, "user": {"id": 1, "name": "Ada"}}
    assert after == {"id": 1, "user_id": 1, "user": {"id": 1, "name": "Ada", "age": 5}}


def test_a_notebook_cell_with_a_mistake_leaves_the_model_as_it_was(db: DataFlow):
    names = {"db": db, "__name__": "__main__"}
    run_cell(CELL, names)
    db.create("User", {"name": "Ada"})

    with pytest.raises(AnnotationError):
        run_cell(CELL + "    thing: object\n", names)

    assert db.read("User", 1) == {"id": 1, "name": "Ada"}


# ------------------------------------------------------------------- two databases


def test_two_dataflows_with_a_user_each_never_mix(url: str, runtime: LocalRuntime):
    with DataFlow(url) as one, DataFlow("sqlite:///:memory:") as two:

        @one.model(timestamps=False)
        class User:
            id: int
            name: str

        first = User

        @two.model(timestamps=False)  # type: ignore[no-redef]  # another database's
        class User:
            id: int
            age: int

        one.create(first, {"name": "Ada"})
        two.create(User, {"age": 5})
        two.create(User, {"age": 6})

        assert one.list("User")["records"] == [{"id": 1, "name": "Ada"}]
        assert two.list("users")["records"] == [{"id": 1, "age": 5}, {"id": 2, "age": 6}]
        with pytest.raises(UnknownModelError):
            one.read(User, 1)
        with pytest.raises(AmbiguousNodeError):
            WorkflowBuilder().add_node("UserListNode", "all", {})
        workflow = WorkflowBuilder(db=one)
        workflow.add_node("UserListNode", "mine", {})
        workflow.add_node(two.nodes.UserListNode, "theirs", {})
        results, _ = runtime.execute(workflow)
        assert (results["mine"]["count"], results["theirs"]["count"]) == (1, 2)


def test_a_class_of_another_dataflow_is_refused_by_every_verb(memory: DataFlow):
    with DataFlow("sqlite:///:memory:") as other:

        @other.model(timestamps=False)
        class User:
            id: int

        with pytest.raises(UnknownModelError) as caught:
            memory.create(User, {})

        assert "User" in caught.value.problem_text()
        with pytest.raises(OptionError) as twice:
            memory.model(User)
        assert str(twice.value) == (
            "model 'User': the class is a model of a DataFlow already.\n  code: DF114"
        )


# ------------------------------------------------------------------- wrong annotations


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (object, "object has no column type"),
        (int | str, "a union of several types (int | str) has no column type"),
        (complex, "complex has no column type"),
        (type(None), "NoneType has no column type"),
        ("Missing", "the annotation names 'Missing', which is not defined."),
    ],
    ids=str,
)  # fmt: skip
def test_an_unknown_annotation_is_refused_at_the_line_of_the_model(
    memory: DataFlow, annotation: Any, problem: str
):
    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Thing:
            id: int
            value: annotation  # type: ignore[valid-type]  # a parameter of the test

    assert caught.value.problem_text().startswith(f"field 'value' of model 'Thing': {problem}")
    assert caught.value.at.startswith(f"{__file__}:")
    assert caught.value.code == "DF105"
    assert memory.list_models() == []


def test_a_default_of_none_needs_an_optional_annotation(memory: DataFlow):
    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Thing:
            id: int
            name: str = None

    assert caught.value.problem_text() == (
        "field 'name' of model 'Thing': the default is None, but the annotation does not allow "
        "None."
    )
    assert caught.value.advice() == "write name: str | None"


# ----------------------------------------------------------------------- SQLAlchemy


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_a_class_of_a_declarative_base_takes_the_decorator(db: DataFlow):
    class Base(DeclarativeBase):
        pass

    @db.model
    class Author(Base):
        __tablename__ = "authors"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(10))
        nick: Mapped[str | None] = mapped_column(unique=True)
        age: Mapped[int] = mapped_column(default=18)
        books: Mapped[list["Book"]] = relationship(back_populates="author")

    @db.model
    class Book(Base):
        __tablename__ = "books"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))
        author: Mapped[Author] = relationship(back_populates="books")

    ada = db.create("Author", {"name": "Ada"})
    db.bulk_create("Book", [{"title": "a", "author_id": 1}, {"title": "b", "author_id": 1}])

    assert ada == {"id": 1, "name": "Ada", "nick": None, "age": 18}
    assert db.read("Book", 1, include=["author"]) == {
        "id": 1, "title": "a", "author_id": 1, "author": ada,
    }  # fmt: skip
    assert [book["title"] for book in db.read(Author, 1, include=["books"])["books"]] == ["a", "b"]
    assert len(db.get_generated_nodes("Author")) == 9
    assert Author(name="x").name == "x"


def test_mapped_annotations_need_no_base(db: DataFlow):
    @db.model
    class Author:
        __tablename__ = "authors"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    @db.model
    class Paper:
        id: Mapped[int] = mapped_column(primary_key=True)

    assert db.create("Author", {"name": "Ada"}) == {"id": 1, "name": "Ada"}
    assert db.create("papers", {}) == {"id": 1}


@pytest.mark.parametrize(
    ("annotation", "column", "value"),
    [
        (float, mapped_column(), 0.1),
        (bool, mapped_column(), True),
        (bytes, mapped_column(), b"\x00\xff"),
        (Decimal, mapped_column(sa.Numeric(20, 4)), Decimal("1.2345")),
        (dt.date, mapped_column(), dt.date(2024, 1, 2)),
        (dt.time, mapped_column(), dt.time(1, 2)),
        (dt.timedelta, mapped_column(), dt.timedelta(days=1)),
        (
            dt.datetime,
            mapped_column(sa.DateTime(timezone=True)),
            dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        ),
        (dt.datetime, mapped_column(), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
        (Color, mapped_column(), Color.BLUE),
        (Color | None, mapped_column(), None),
        (dict, mapped_column(sa.JSON), {"a": [1, "ü"]}),
        (list, mapped_column(sa.JSON), [1]),
    ],
    ids=["float", "bool", "bytes", "Decimal", "date", "time", "timedelta", "aware datetime",
         "plain datetime", "Enum", "Optional Enum", "dict", "list"],
)  # fmt: skip
def test_a_mapped_column_gives_back_the_declared_type(
    db: DataFlow, annotation: Any, column: Any, value: Any
):
    class Base(DeclarativeBase):
        pass

    @db.model
    class Thing(Base):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[annotation] = column._copy()

    created = db.create("Thing", {"value": value})
    bulk = db.bulk_create("Thing", [{"value": value}], returning="records")["records"]
    updated = db.update("Thing", 1, {"value": value})

    assert created == {"id": 1, "value": value}
    assert type(created["value"]) is type(value)
    assert bulk == [{"id": 2, "value": value}]
    assert updated == created
    if value is not None and not isinstance(value, dict | list):
        assert db.count("Thing", {"value": {"$in": [value]}}) == 2


# ---------------------------------------------------------------------- inspection


def test_a_model_is_described_as_plain_data(memory: DataFlow):
    @memory.model(timestamps=False, soft_delete=True)
    class User:
        id: int
        email: str = Field(unique=True, max_length=254, description="login")
        boss_id: int | None = Field(default=None, foreign_key="users.id")

    info = memory.get_model_info(User)

    location = info.pop("location")
    options = info.pop("options")
    assert location.startswith(f"{__file__}:")
    assert (options["soft_delete"], options["timestamps"], options["table"]) == (True, False, None)
    assert {key: info[key] for key in ("name", "table", "key", "relationships")} == {
        "name": "User", "table": "users", "key": ["id"], "relationships": {},
    }  # fmt: skip
    assert list(info["fields"]) == ["id", "email", "boss_id", "deleted_at"]
    email = info["fields"]["email"]
    shown = ("type", "nullable", "required", "unique", "description")
    assert {key: email[key] for key in shown} == {
        "type": "str", "nullable": False, "required": True, "unique": True, "description": "login",
    }  # fmt: skip
    assert info["fields"]["id"]["generated"] == "database"
    assert info["fields"]["boss_id"]["foreign_key"] == "users.id"
    assert info["fields"]["boss_id"]["type"] == "int | None"


def test_models_are_listed_in_order_of_declaration(memory: DataFlow):
    for name in ("Zebra", "Ant"):
        memory.model(type(name, (), {"__annotations__": {"id": int}}))

    assert memory.list_models() == ["Zebra", "Ant"]
    assert repr(memory).endswith(", 2 models)")
