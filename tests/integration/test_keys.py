"""Primary keys: generated, given, composite, and under other names."""

import datetime as dt
import uuid
from typing import Any

import pytest
from typing_extensions import TypedDict

from dataflow import DataFlow, Field
from dataflow.errors import (
    AnnotationError,
    ForeignKeyViolationError,
    ParameterError,
    RecordValidationError,
    UniqueViolationError,
    UnknownFieldError,
)


def test_a_model_without_id_gets_a_generated_one_first(db: DataFlow):
    @db.model(timestamps=False)
    class Note:
        text: str

    created = [db.create("Note", {"text": "a"}), db.create("Note", {"text": "b"})]

    assert [list(record.items()) for record in created] == [
        [("id", 1), ("text", "a")],
        [("id", 2), ("text", "b")],
    ]


@pytest.mark.parametrize("annotation", [int, int | None], ids=str)
def test_an_int_id_is_generated(db: DataFlow, annotation: Any):
    @db.model(timestamps=False)
    class Note:
        id: annotation = Field(default=None, primary_key=True)
        text: str

    created = db.create("Note", {"text": "a"})

    assert created == {"id": 1, "text": "a"}


def test_generated_keys_are_not_used_twice_after_a_delete(db: DataFlow):
    @db.model(timestamps=False)
    class Note:
        id: int

    db.bulk_create("Note", [{}, {}, {}])
    db.delete("Note", 3)

    created = db.create("Note", {})

    assert created == {"id": 4}


def test_a_generated_key_follows_keys_that_were_given(db: DataFlow):
    @db.model(timestamps=False)
    class Note:
        id: int

    db.create("Note", {"id": 1})
    db.bulk_create("Note", [{"id": 2}, {"id": 10}])

    one = db.create("Note", {})
    many = db.bulk_create("Note", [{}, {}], returning="ids")["ids"]

    assert (one, many) == ({"id": 11}, [12, 13])


def test_a_text_key_is_given_by_the_caller(db: DataFlow):
    @db.model(timestamps=False)
    class Country:
        id: str = Field(max_length=2)
        name: str

    created = db.create("Country", {"id": "AT", "name": "Austria"})
    with pytest.raises(RecordValidationError):
        db.create("Country", {"name": "Nowhere"})
    with pytest.raises(UniqueViolationError):
        db.create("Country", {"id": "AT", "name": "Again"})

    assert created == {"id": "AT", "name": "Austria"}
    assert db.read("Country", "AT") == created
    assert db.read("Country", "") is None


def test_a_uuid_key_defaults_to_version_7_and_sorts_by_time(db: DataFlow):
    @db.model(timestamps=False)
    class Event:
        id: uuid.UUID

    before = dt.datetime.now(dt.UTC).timestamp() * 1000
    created = db.create("Event", {})["id"]
    bulk = db.bulk_create("Event", [{}, {}], returning="ids")["ids"]

    assert isinstance(created, uuid.UUID)
    assert {key.version for key in [created, *bulk]} == {7}
    assert len({created, *bulk}) == 3
    assert abs((created.int >> 80) - before) < 60_000
    assert db.read("Event", str(created)) == {"id": created}


def test_a_uuid_key_may_be_given(db: DataFlow):
    @db.model(timestamps=False)
    class Event:
        id: uuid.UUID

    key = uuid.UUID(int=7)

    assert db.create("Event", {"id": key}) == {"id": key}


class Place(TypedDict):
    row: int


@pytest.mark.parametrize(
    ("kind", "name"),
    [(dict, "dict"), (list[int], "list"), (set[str], "set"), (Place, "Place"), (Any, "Any")],
)
def test_a_json_document_is_refused_as_a_key(memory: DataFlow, kind: Any, name: str):
    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Note:
            id: kind

    assert str(caught.value) == (
        f"field 'id' of model 'Note': a key cannot be {name}, which is stored as JSON.\n"
        f"  at: {caught.value.at}\n"
        "  help: take an int, str or UUID as key, and keep the document in another field\n"
        "  code: DF105"
    )
    assert (caught.value.at or "").startswith(f"{__file__}:")


def test_a_json_document_is_refused_as_a_part_of_a_key(memory: DataFlow):
    with pytest.raises(AnnotationError) as caught:

        @memory.model
        class Note:
            number: int = Field(primary_key=True)
            place: dict = Field(primary_key=True)

    assert caught.value.field == "place"


def test_a_key_has_any_name(db: DataFlow):
    @db.model(timestamps=False)
    class Product:
        sku: str = Field(primary_key=True)
        price: int

    created = db.create("Product", {"sku": "x-1", "price": 5})
    updated = db.update("Product", "x-1", {"price": 6})

    assert created == {"sku": "x-1", "price": 5}
    assert updated == {"sku": "x-1", "price": 6}
    assert db.delete("Product", {"sku": "x-1"}) is True


def test_a_generated_key_has_any_name(db: DataFlow):
    @db.model(timestamps=False)
    class Product:
        number: int = Field(primary_key=True)
        name: str

    created = db.create("Product", {"name": "a"})
    ids = db.bulk_create("Product", [{"name": "b"}], returning="ids")["ids"]

    assert (created, ids) == ({"number": 1, "name": "a"}, [2])


@pytest.fixture
def seats(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Seat:
        row: int = Field(primary_key=True)
        letter: str = Field(primary_key=True)
        guest: str | None

    db.bulk_create("Seat", [{"row": 1, "letter": "A", "guest": "Ada"}, {"row": 1, "letter": "B"}])
    return db


def test_a_composite_key_is_given_as_dict_or_tuple(seats: DataFlow):
    ada = {"row": 1, "letter": "A", "guest": "Ada"}

    assert seats.read("Seat", {"row": 1, "letter": "A"}) == ada
    assert seats.read("Seat", (1, "A")) == ada
    assert seats.read("Seat", [1, "A"]) == ada
    assert seats.read("Seat", (2, "A")) is None
    assert seats.update("Seat", (1, "B"), {"guest": "Bob"}) == {
        "row": 1, "letter": "B", "guest": "Bob",
    }  # fmt: skip
    assert seats.delete("Seat", (1, "B")) is True


def test_a_composite_key_is_unique_as_a_whole(seats: DataFlow):
    seats.create("Seat", {"row": 2, "letter": "A", "guest": None})

    with pytest.raises(UniqueViolationError) as caught:
        seats.create("Seat", {"row": 1, "letter": "A", "guest": "Eve"})

    assert str(caught.value) == (
        "a record of 'seats' with the same row, letter exists already.\n  code: DF202"
    )


def test_bulk_verbs_take_composite_keys(seats: DataFlow):
    ids = seats.bulk_create(
        "Seat", [{"row": 3, "letter": "A"}, {"row": 3, "letter": "B"}], returning="ids"
    )["ids"]
    updated = seats.bulk_update("Seat", [{"row": 3, "letter": "A", "guest": "Cyd"}])
    upserted = seats.bulk_upsert(
        "Seat", [{"row": 3, "letter": "A", "guest": "Dan"}, {"row": 4, "letter": "A"}]
    )
    deleted = seats.bulk_delete("Seat", ids=[(3, "B"), {"row": 4, "letter": "A"}, (9, "Z")])

    assert ids == [{"row": 3, "letter": "A"}, {"row": 3, "letter": "B"}]
    assert updated == {"processed": 1, "updated": 1, "success": True}
    assert upserted == {
        "processed": 2, "inserted": 1, "updated": 1, "skipped": 0, "success": True,
    }  # fmt: skip
    assert deleted == {"processed": 2, "deleted": 2, "success": True}
    assert seats.read("Seat", (3, "A")) == {"row": 3, "letter": "A", "guest": "Dan"}


@pytest.mark.parametrize("key", [1, (1,), {"row": 1, "x": 2}, (1, "A", 2)], ids=str)
def test_a_part_of_a_composite_key_is_refused_as_a_key(seats: DataFlow, key: Any):
    with pytest.raises((RecordValidationError, UnknownFieldError)):
        seats.read("Seat", key)


def test_the_key_of_a_record_is_not_changed_by_an_update(db: DataFlow):
    @db.model(timestamps=False)
    class Note:
        id: int
        text: str

    db.create("Note", {"text": "a"})

    for call, *args in (
        (db.update, "Note", 1, {"id": 5}),
        (db.update, "Note", {"text": "a"}, {"id": 5, "text": "b"}),
        (db.bulk_update, "Note", {"text": "a"}, {"id": 5}),
    ):
        with pytest.raises(ParameterError) as caught:
            call(*args)

        assert str(caught.value) == (
            "the primary key 'id' of 'Note' cannot be changed.\n"
            "  help: create a new record and delete the old one\n"
            "  code: DF103"
        )
    assert db.list("Note")["records"] == [{"id": 1, "text": "a"}]


# ------------------------------------------------------------------ foreign keys


@pytest.fixture(params=["text", "class"])
def blog(db: DataFlow, request: pytest.FixtureRequest) -> DataFlow:
    @db.model(timestamps=False)
    class User:
        id: int
        name: str

    key = "users.id" if request.param == "text" else User

    @db.model(timestamps=False)
    class Post:
        id: int
        author_id: int = Field(foreign_key=key)
        editor_id: int | None = Field(default=None, foreign_key=key, on_delete="set_null")
        owner_id: int | None = Field(default=None, foreign_key=key, on_delete="cascade")

    db.bulk_create("User", [{"name": "Ada"}, {"name": "Bob"}])
    return db


def test_a_foreign_key_must_lead_to_a_record(blog: DataFlow):
    created = blog.create("Post", {"author_id": 1})
    with pytest.raises(ForeignKeyViolationError) as caught:
        blog.create("Post", {"author_id": 99})

    assert created == {"id": 1, "author_id": 1, "editor_id": None, "owner_id": None}
    assert "None" not in str(caught.value)
    assert caught.value.code == "DF203"


def test_a_record_that_is_referred_to_is_not_deleted(blog: DataFlow):
    blog.create("Post", {"author_id": 1})

    with pytest.raises(ForeignKeyViolationError) as caught:
        blog.delete("User", 1)

    assert "None" not in str(caught.value)
    assert blog.count("User") == 2


def test_on_delete_sets_null_or_cascades_where_declared(blog: DataFlow):
    blog.create("Post", {"author_id": 1, "editor_id": 2})
    blog.create("Post", {"author_id": 1, "owner_id": 2})

    blog.delete("User", 2)

    assert blog.list("Post")["records"] == [
        {"id": 1, "author_id": 1, "editor_id": None, "owner_id": None}
    ]


def test_models_may_refer_to_each_other_and_be_declared_in_any_order(db: DataFlow):
    @db.model(timestamps=False)
    class Employee:
        id: int
        team_id: int | None = Field(default=None, foreign_key="teams.id")
        boss_id: int | None = Field(default=None, foreign_key="employees.id")

    @db.model(timestamps=False)
    class Team:
        id: int
        lead_id: int | None = Field(default=None, foreign_key="employees.id")

    boss = db.create("Employee", {})
    team = db.create("Team", {"lead_id": boss["id"]})
    member = db.create("Employee", {"team_id": team["id"], "boss_id": boss["id"]})

    assert member == {"id": 2, "team_id": 1, "boss_id": 1}


@pytest.mark.parametrize("first", [1, 2, 7])
@pytest.mark.parametrize("many", [False, True])
def test_a_key_that_is_given_first_is_never_generated(db: DataFlow, first: int, many: bool):
    @db.model
    class Book:
        title: str

    if many:
        db.bulk_create("Book", [{"id": first, "title": "given"}])
    else:
        db.create("Book", id=first, title="given")

    assert db.create("Book", title="generated")["id"] == first + 1
