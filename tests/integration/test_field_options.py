"""What `Field(...)` and the options of a model do to the database."""

import datetime as dt
import logging
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import annotated_types
import pydantic
import pytest

from dataflow import DataFlow, Field
from dataflow.errors import AnnotationError, RecordValidationError, UniqueViolationError

RunNode = Callable[[str, dict[str, Any]], dict[str, Any]]


def index_names(db: DataFlow, table: str) -> set[str]:
    import sqlalchemy as sa

    async def names() -> set[str]:
        engine = db.database.driver.create_engine(pooled=False)
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda c: sa.inspect(c).get_indexes(table))
        await engine.dispose()
        return {str(index["name"]) for index in found}

    from dataflow.portal import portal

    return portal.call(names())


def test_a_unique_field_refuses_the_same_value_twice(db: DataFlow):
    @db.model(timestamps=False)
    class User:
        id: int
        email: str = Field(unique=True)
        nick: str | None = Field(default=None, unique=True)

    db.create("User", {"email": "a@x"})
    db.create("User", {"email": "b@x"})
    with pytest.raises(UniqueViolationError) as caught:
        db.create("User", {"email": "a@x"})
    with pytest.raises(UniqueViolationError):
        db.update("User", 2, {"email": "a@x"})

    assert str(caught.value) == (
        "a record of 'users' with the same email exists already.\n  code: DF202"
    )
    assert caught.value.outcome == "not_applied"
    assert db.list("User", fields=["email"])["records"] == [{"email": "a@x"}, {"email": "b@x"}]


def test_indexes_are_made_where_declared(db: DataFlow):
    @db.model(timestamps=False, indexes=[("a", "b"), "c"], unique_together=[("b", "c")])
    class Thing:
        id: int
        a: int = Field(index=True)
        b: int
        c: int

    db.create_tables()

    names = index_names(db, "things")
    assert {"ix_things_a", "ix_things_a_b", "ix_things_c"} <= names


def test_fields_unique_together_may_repeat_one_by_one(db: DataFlow):
    @db.model
    class Membership:
        id: int
        user: int
        team: int
        __dataflow__ = {"unique_together": [("user", "team")], "timestamps": False}

    db.create("Membership", {"user": 1, "team": 1})
    db.create("Membership", {"user": 1, "team": 2})
    with pytest.raises(UniqueViolationError) as caught:
        db.create("Membership", {"user": 1, "team": 1})

    assert str(caught.value) == (
        "a record of 'memberships' with the same user, team exists already.\n  code: DF202"
    )


def test_a_record_is_read_by_fields_that_are_unique_together(db: DataFlow):
    @db.model(timestamps=False, unique_together=[("user", "team")])
    class Membership:
        id: int
        user: int
        team: int

    record = db.create("Membership", {"user": 1, "team": 2})

    assert db.read("Membership", {"user": 1, "team": 2}) == record


def test_bounds_lengths_and_patterns_are_checked(db: DataFlow):
    @db.model(timestamps=False)
    class Product:
        id: int
        code: str = Field(max_length=5, min_length=2, pattern=r"^[a-z]+$")
        price: float = Field(ge=0, lt=1000)
        stock: int = Field(default=0, gt=-1, le=10)

    with pytest.raises(RecordValidationError) as caught:
        db.create("Product", {"code": "x", "price": 1000, "stock": 11})

    assert str(caught.value) == (
        "values do not fit model 'Product':\n"
        "  code: String should have at least 2 characters (got 'x')\n"
        "  price: Input should be less than 1000 (got 1000)\n"
        "  stock: Input should be less than or equal to 10 (got 11)\n"
        "  code: DF201"
    )
    assert db.create("Product", {"code": "ab", "price": 0}) == {
        "id": 1, "code": "ab", "price": 0.0, "stock": 0,
    }  # fmt: skip


def test_an_annotated_constraint_is_checked_too(db: DataFlow):
    @db.model(timestamps=False)
    class Product:
        id: int
        stock: Annotated[int, annotated_types.Ge(0)] | None
        size: Annotated[int, pydantic.Field(lt=10)]
        code: Annotated[str, Field(max_length=3, unique=True)]

    db.create("Product", {"stock": None, "size": 1, "code": "abc"})
    with pytest.raises(RecordValidationError) as caught:
        db.create("Product", {"stock": -1, "size": 10, "code": "abcd"})
    with pytest.raises(UniqueViolationError):
        db.create("Product", {"stock": 1, "size": 1, "code": "abc"})

    assert [(field, value) for _, field, _, value in caught.value.problems] == [
        ("stock", -1),
        ("size", 10),
        ("code", "abcd"),
    ]


def test_defaults_are_filled_in_by_create_and_bulk_create(db: DataFlow):
    numbers = iter(range(100))

    @db.model(timestamps=False)
    class Thing:
        id: int
        plain: str = "x"
        field: int = Field(default=5)
        made: int = Field(default_factory=lambda: next(numbers))
        tags: list = []
        server: int = Field(server_default="7")
        nothing: str | None

    one = db.create("Thing", {})
    many = db.bulk_create("Thing", [{}, {"server": 1, "made": 50}], returning="records")["records"]

    expected = {"plain": "x", "field": 5, "tags": [], "server": 7, "nothing": None}
    assert one == {"id": 1, **expected, "made": 0}
    assert many == [
        {"id": 2, **expected, "made": 1},
        {"id": 3, **expected, "server": 1, "made": 50},
    ]


def test_a_mutable_default_is_not_shared_between_records(db: DataFlow):
    @db.model(timestamps=False)
    class Thing:
        id: int
        tags: list = []

    first = db.create("Thing", {})
    first["tags"].append("changed")

    assert db.create("Thing", {}) == {"id": 2, "tags": []}


@pytest.mark.parametrize(
    ("expression", "value"), [("'it''s'", "it's"), ("upper('a')", "A"), ("'1' || '2'", "12")]
)
def test_a_server_default_is_any_expression(db: DataFlow, expression: str, value: str):
    @db.model(timestamps=False)
    class Thing:
        id: int
        text: str = Field(server_default=expression)

    assert db.create("Thing", {}) == {"id": 1, "text": value}


def test_a_column_may_be_named_otherwise_than_its_field(db: DataFlow):
    @db.model(timestamps=False, indexes=["mail"])
    class User:
        id: int
        mail: str = Field(column="email_address", unique=True)
        age: int | None

    db.create("User", {"mail": "a@x", "age": 1})
    db.bulk_create("User", [{"mail": "b@x"}])
    db.bulk_upsert("User", [{"mail": "b@x", "age": 2}], conflict_on="mail")
    with pytest.raises(UniqueViolationError) as caught:
        db.create("User", {"mail": "a@x"})

    assert db.list("User", {"mail": {"$gte": "b"}}, sort="-mail")["records"] == [
        {"id": 2, "mail": "b@x", "age": 2}
    ]
    assert db.update("User", {"mail": "a@x"}, {"mail": "c@x"}) == {
        "id": 1, "mail": "c@x", "age": 1,
    }  # fmt: skip
    assert str(caught.value).startswith("a record of 'users' with the same mail exists already.")


def test_a_description_stands_in_the_schema_of_the_nodes(memory: DataFlow):
    @memory.model(timestamps=False)
    class User:
        id: int
        name: str = Field(description="first and last")

    node = memory.nodes.UserCreateNode

    assert node.parameters()["name"].description == "first and last"
    assert node.json_schema()["properties"]["name"]["description"] == "first and last"
    assert memory.get_model_info("User")["fields"]["name"]["description"] == "first and last"


# ----------------------------------------------------------------------- secrets

SECRET = "hunter2-secret"


@pytest.fixture
def vault(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Account:
        id: int
        name: str
        token: str = Field(secret=True, max_length=20)
        pin: str = Field(default="none", secret=True, unique=True)
        keys: dict[str, int] = Field(default_factory=dict, secret=True)

    db.create("Account", {"name": "a", "token": SECRET, "pin": SECRET})
    db.create("Account", {"name": "b", "token": SECRET, "pin": "2"})
    return db


def test_a_secret_is_stored_and_returned_like_any_value(vault: DataFlow):
    assert vault.read("Account", 1)["token"] == SECRET


def test_no_error_shows_a_secret(vault: DataFlow, run_node: RunNode):
    calls: list[tuple[Any, ...]] = [
        (vault.create, "Account", {"token": SECRET}),
        (vault.create, "Account", {"name": 5, "token": SECRET * 5}),
        (vault.create, "Account", {"name": "x", "token": "t", "nmae": 1, "pin": SECRET * 5}),
        (vault.create, "Account", {"name": "x", "token": "t", "pin": SECRET}),
        (vault.create, "Account", {"name": "x", "token": "t", "keys": {"a": SECRET}}),
        (vault.create, "Account", {"name": "x", "token": "t", "keys": SECRET}),
        (vault.bulk_create, "Account", [{"token": SECRET}]),
        (vault.bulk_create, "Account", [{"name": "x", "token": SECRET * 5}]),
        (vault.bulk_create, "Account", [{"name": "x", "token": "t", "pin": SECRET}]),
        (vault.update, "Account", 1, {"token": SECRET * 5}),
        (vault.update, "Account", {"token": SECRET}, {"name": "x"}),
        (vault.update, "Account", 2, {"pin": SECRET}),
        (vault.delete, "Account", {"token": SECRET}),
        (vault.read, "Account", {"token": SECRET}),
        (vault.bulk_upsert, "Account", [{"id": 1, "token": SECRET}]),
        (run_node, "AccountCreateNode", {"name": "x", "token": SECRET * 5}),
        (run_node, "AccountCreateNode", {"token": SECRET}),
        (run_node, "AccountReadNode", {"filter": {"token": SECRET}}),
    ]

    texts = []
    for call, *args in calls:
        with pytest.raises(Exception) as caught:
            call(*args)
        texts.append(f"{caught.value!s} {caught.value!r}")
    with pytest.raises(Exception) as caught:
        vault.read("Account", {"token": "gone" + SECRET}, raise_on_not_found=True)
    texts.append(str(caught.value))

    assert [text for text in texts if SECRET in text] == []


def test_the_cause_of_an_error_does_not_show_a_secret(vault: DataFlow):
    with pytest.raises(UniqueViolationError) as caught:
        vault.create("Account", {"name": "x", "token": "t", "pin": SECRET})

    assert SECRET not in str(caught.value.__cause__)


def test_a_rejected_record_does_not_show_its_secret(vault: DataFlow):
    rows = [
        {"name": "x", "token": "t", "pin": SECRET},
        {"name": "x", "token": SECRET * 5},
        {"token": SECRET},
    ]

    result = vault.bulk_create("Account", rows, on_error="collect")

    assert len(result["rejected"]) == 3
    assert SECRET not in repr(result)


def test_no_repr_shows_a_secret(memory: DataFlow):
    @memory.model(timestamps=False)
    class Account:
        id: int
        name: str
        token: str = Field(secret=True)

    account = Account(name="a", token=SECRET)

    assert repr(account) == "Account(name='a')"
    assert account.token == SECRET


def test_no_log_shows_values(
    logged_db: DataFlow, caplog: pytest.LogCaptureFixture, statements: Callable[[], list[str]]
):
    @logged_db.model(timestamps=False)
    class Account:
        id: int
        token: str = Field(secret=True)

    caplog.set_level(logging.DEBUG, logger="dataflow")
    logged_db.create("Account", {"token": SECRET})
    logged_db.bulk_create("Account", [{"token": SECRET}])
    logged_db.list("Account", {"token": SECRET})

    assert SECRET not in caplog.text
    assert len(statements()) >= 3


def test_ids_may_be_uuids_that_a_factory_makes(db: DataFlow):
    @db.model(timestamps=False)
    class Job:
        id: uuid.UUID = Field(default_factory=lambda: uuid.UUID(int=9))

    assert db.create("Job", {}) == {"id": uuid.UUID(int=9)}


BOUNDS: list[tuple[type, str, Any]] = [
    (int, "ge", "a"),
    (int, "le", "5"),
    (int, "lt", 1.5),
    (int, "gt", float("nan")),
    (float, "ge", "a"),
    (Decimal, "ge", "a"),
    (str, "ge", 1),
    (dt.date, "le", 1),
    (dt.datetime, "gt", dt.date(2020, 1, 1)),
    (dt.timedelta, "ge", 1),
    (dt.time, "ge", "01:00"),
    (dict, "ge", 1),
    (list, "ge", 1),
    (bool, "ge", "a"),
    (uuid.UUID, "ge", 1),
    (int, "max_length", 5),
    (int, "pattern", "a"),
    (str, "max_digits", 5),
]


@pytest.mark.parametrize(("kind", "option", "bound"), BOUNDS)
def test_a_bound_that_does_not_fit_the_type_is_refused_at_the_decorators_line(
    memory: DataFlow, kind: type, option: str, bound: Any
):
    class Thing:
        x: kind = Field(**{option: bound})  # type: ignore[misc,valid-type]  # built from data

    with pytest.raises(AnnotationError) as caught:
        memory.model(Thing)

    assert caught.value.problem_text() == (
        f"field 'x' of model 'Thing': Field({option}={bound!r}) does not fit {kind.__name__}."
    )
    assert (caught.value.at or "").startswith(f"{__file__}:")


@pytest.mark.parametrize(
    ("kind", "bound", "low", "fits"),
    [
        (int, 2.0, 1, 2),
        (float, Decimal(2), 1.0, 2.0),
        (Decimal, 2, Decimal(1), Decimal(2)),
        (Decimal, 1.5, Decimal(1), Decimal(2)),
        (str, "b", "a", "b"),
        (dt.date, dt.date(2020, 1, 2), dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (dt.date, "2020-01-02", dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (dt.time, dt.time(2), dt.time(1), dt.time(2)),
        (dt.timedelta, dt.timedelta(2), dt.timedelta(1), dt.timedelta(2)),
        (
            dt.datetime,
            dt.datetime(2020, 1, 2),
            dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
            dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
        ),
    ],
)
def test_a_bound_of_the_fields_type_holds(
    memory: DataFlow, kind: Any, bound: Any, low: Any, fits: Any
):
    @memory.model(timestamps=False)
    class Thing:
        x: kind = Field(ge=bound)

    assert memory.create("Thing", {"x": fits}) == {"id": 1, "x": fits}
    with pytest.raises(RecordValidationError):
        memory.create("Thing", {"x": low})
