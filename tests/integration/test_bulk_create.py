"""Bulk create: every input, every outcome, in one transaction."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field
from dataflow.errors import (
    AppendOnlyError,
    DatabaseError,
    FilterError,
    ForeignKeyViolationError,
    ParameterError,
    RecordValidationError,
    UniqueViolationError,
)


@pytest.fixture
def users(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Team:
        id: int

    @db.model(timestamps=False)
    class User:
        id: int
        name: str
        email: str | None = Field(default=None, unique=True)
        age: int = 18
        team_id: int | None = Field(default=None, foreign_key=Team)

    db.create("Team", {})
    return db


def row(key: int, name: str, **given: Any) -> dict[str, Any]:
    return {"id": key, "name": name, "email": None, "age": 18, "team_id": None, **given}


RAGGED = [
    {"name": "a", "age": 1},
    {"name": "b"},
    {"name": "c", "email": "c@x", "age": 3},
    {"age": 4, "name": "d"},
    {"name": "e", "team_id": 1},
    {"name": "f", "id": 50},
]
STORED = [
    row(1, "a", age=1),
    row(2, "b"),
    row(3, "c", email="c@x", age=3),
    row(4, "d", age=4),
    row(5, "e", team_id=1),
]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
def test_rows_with_different_fields_keep_every_value(users: DataFlow, batch_size: int | None):
    result = users.bulk_create("User", RAGGED[:5], batch_size=batch_size, returning="records")
    fields = [{name: value for name, value in r.items() if name != "id"} for r in result["records"]]

    assert fields == [{k: v for k, v in r.items() if k != "id"} for r in STORED]
    assert result["inserted"] == 5
    assert users.list("User", sort="name")["records"] == result["records"]


def test_ids_and_records_come_in_the_order_of_the_input(users: DataFlow):
    ids = users.bulk_create("User", RAGGED, returning="ids")["ids"]
    names = [users.read("User", key)["name"] for key in ids]

    assert names == list("abcdef")
    assert ids[5] == 50
    assert len(set(ids)) == 6


@pytest.mark.parametrize("size", [499, 500, 501, 1_200])
def test_many_rows_keep_their_order(users: DataFlow, size: int):
    rows = [{"name": f"n{number}", "age": number} for number in range(size)]

    records = users.bulk_create("User", rows, returning="records", batch_size=500)["records"]

    assert [record["age"] for record in records] == list(range(size))
    assert users.count("User") == size


def test_an_extra_column_is_refused_with_its_row(users: DataFlow):
    with pytest.raises(RecordValidationError) as caught:
        users.bulk_create("User", [{"name": "a"}, {"name": "b", "emial": "x"}, {"nam": "c"}])

    assert str(caught.value) == (
        "values do not fit model 'User':\n"
        "  record 1, emial: there is no such field (got 'x')\n"
        "  record 2, name: a value is required (got None)\n"
        "  record 2, nam: there is no such field (got 'c')\n"
        "  help: for 'emial', did you mean 'email'?\n"
        "  code: DF201"
    )
    assert users.count("User") == 0


def test_the_index_counts_over_all_batches(users: DataFlow):
    rows = [{"name": "a"}] * 7 + [{"name": 5}]

    with pytest.raises(RecordValidationError) as caught:
        users.bulk_create("User", rows, batch_size=3)

    assert caught.value.problems == ((7, "name", "Input should be a valid string", 5),)
    assert users.count("User") == 0


@pytest.mark.parametrize("item", [5, None, "ab", ["name", "a"]], ids=str)
def test_a_row_that_is_no_dict_is_refused_with_its_index(users: DataFlow, item: Any):
    with pytest.raises(RecordValidationError) as caught:
        users.bulk_create("User", [{"name": "a"}, item])

    assert [problem[0] for problem in caught.value.problems] == [1]
    assert users.count("User") == 0


@pytest.mark.parametrize("data", [5, None, "text", {"name": "a"}, b"x"], ids=str)
def test_data_that_is_no_list_is_refused(users: DataFlow, data: Any):
    with pytest.raises(ParameterError) as caught:
        users.bulk_create("User", data)

    assert str(caught.value) == (
        "data must be a list or another iterable of dicts, not "
        f"{type(data).__name__}.\n  code: DF103"
    )


def test_one_bad_row_of_many_keeps_none(users: DataFlow):
    rows = [{"name": "a", "email": f"{number}"} for number in range(10)]

    for bad in ({"name": "x", "email": "3"}, {"name": "x", "team_id": 99}, {"name": None}):
        with pytest.raises(DatabaseError):
            users.bulk_create("User", [*rows, bad], batch_size=4)

    assert users.count("User") == 0


def test_a_conflict_is_an_error_unless_skipped(users: DataFlow):
    users.create("User", {"name": "a", "email": "a@x"})
    rows = [
        {"name": "b", "email": "a@x"},
        {"name": "c", "email": "c@x"},
        {"name": "d", "email": "c@x"},
        {"name": "e"},
        {"id": 1, "name": "f"},
    ]

    with pytest.raises(UniqueViolationError):
        users.bulk_create("User", rows)
    result = users.bulk_create("User", rows, on_conflict="skip")

    assert result == {
        "processed": 5, "inserted": 2, "skipped": 3, "rejected": [], "success": True,
    }  # fmt: skip
    names = [record["name"] for record in users.list("User", sort="name")["records"]]
    assert names == ["a", "c", "e"]


def test_skipping_conflicts_hides_no_other_error(users: DataFlow):
    with pytest.raises(ForeignKeyViolationError):
        users.bulk_create("User", [{"name": "a", "team_id": 99}], on_conflict="skip")

    assert users.count("User") == 0


# ----------------------------------------------------------------------- collect


class Base(DeclarativeBase):
    pass


@pytest.fixture
def items(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Team:
        id: int

    Base.metadata.clear()
    Base.registry.dispose()

    @db.model
    class Item(Base):
        __tablename__ = "items"
        __table_args__ = (sa.CheckConstraint("price > 0", name="positive_price"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(unique=True)
        price: Mapped[int]
        team_id: Mapped[int | None]

    return db


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_collect_keeps_the_good_rows_and_names_the_bad(users: DataFlow, batch_size: int | None):
    users.create("User", {"name": "old", "email": "taken"})
    rows = [
        {"name": "a", "email": "a"},
        {"name": 5},
        {"name": "b", "email": "taken"},
        {"name": "c", "email": "a"},
        {"name": "d", "team_id": 99},
        {"name": "e", "agee": 1},
        {"name": "f", "age": 2**63},
        {"name": "g", "team_id": 1},
        {},
    ]

    result = users.bulk_create("User", rows, on_error="collect", batch_size=batch_size)

    rejected = result.pop("rejected")
    assert result == {"processed": 9, "inserted": 2, "skipped": 0, "success": True}
    assert [(item["index"], item["field"], item["value"]) for item in rejected] == [
        (1, "name", 5),
        (2, "email", "taken"),
        (3, "email", "a"),
        (4, "team_id", 99),
        (5, "agee", 1),
        (6, "age", 2**63),
        (8, "name", None),
    ]
    assert [item["reason"] for item in rejected] == [
        "Input should be a valid string",
        "a record of 'users' with the same email exists already.",
        "a record of 'users' with the same email exists already.",
        "foreign key of 'users': the value of team_id refers to no record.",
        "there is no such field",
        "Input should be less than or equal to 9223372036854775807",
        "a value is required",
    ]
    names = [record["name"] for record in users.list("User", sort="name")["records"]]
    assert names == ["a", "g", "old"]


def test_collect_names_a_check_that_refuses(items: DataFlow):
    rows = [{"code": "a", "price": 1}, {"code": "b", "price": 0}, {"code": "a", "price": 5}]

    result = items.bulk_create("Item", rows, on_error="collect")

    assert result == {
        "processed": 3,
        "inserted": 1,
        "skipped": 0,
        "rejected": [
            {
                "index": 1,
                "field": "record",
                "reason": "check 'positive_price' of 'items' refuses these values.",
                "value": None,
            },
            {
                "index": 2,
                "field": "code",
                "reason": "a record of 'items' with the same code exists already.",
                "value": "a",
            },
        ],
        "success": True,
    }


def test_collect_returns_the_ids_of_what_was_kept(users: DataFlow):
    rows = [{"name": "a"}, {"name": 5}, {"name": "b", "email": "x"}, {"name": "c", "email": "x"}]

    result = users.bulk_create("User", rows, on_error="collect", returning="records")

    assert [record["name"] for record in result["records"]] == ["a", "b"]
    assert [item["index"] for item in result["rejected"]] == [1, 3]


def test_collect_and_skip_go_together(users: DataFlow):
    rows = [{"name": "a", "email": "x"}, {"name": "b", "email": "x"}, {"name": 5},
            {"name": "c", "team_id": 99}]  # fmt: skip

    result = users.bulk_create("User", rows, on_error="collect", on_conflict="skip")

    assert (result["processed"], result["inserted"], result["skipped"]) == (4, 1, 1)
    assert [item["index"] for item in result["rejected"]] == [2, 3]


def test_a_few_bad_rows_among_thousands_are_found(users: DataFlow):
    bad = {7, 500, 1_999, 2_400}
    rows = [
        {"name": "x", "email": "same"} if number in bad else {"name": "x", "email": str(number)}
        for number in range(2_500)
    ]
    users.create("User", {"name": "old", "email": "same"})

    result = users.bulk_create("User", rows, on_error="collect", batch_size=1_000)

    assert {item["index"] for item in result["rejected"]} == bad
    assert (result["inserted"], users.count("User")) == (2_496, 2_497)


# ------------------------------------------------------------------------- input


def test_a_generator_is_read_batch_by_batch(users: DataFlow):
    taken = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(25):
            taken.append(number)
            yield {"name": "x", "age": number}

    result = users.bulk_create("User", rows(), batch_size=10, returning="ids")

    assert (result["processed"], len(result["ids"]), taken) == (25, 25, list(range(25)))


def test_an_async_generator_is_read_too(users: DataFlow):
    async def rows() -> AsyncIterator[dict[str, Any]]:
        for number in range(25):
            yield {"name": "x", "age": number}

    result = users.bulk_create("User", rows(), batch_size=10)

    assert result == {
        "processed": 25, "inserted": 25, "skipped": 0, "rejected": [], "success": True,
    }  # fmt: skip


def test_a_generator_that_fails_keeps_nothing(users: DataFlow):
    def rows() -> Iterator[dict[str, Any]]:
        yield from [{"name": "x"}] * 25
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        users.bulk_create("User", rows(), batch_size=10)

    assert users.count("User") == 0


def test_rows_of_another_query_may_be_the_input(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}, {"name": "b"}])

    copied = users.bulk_create(
        "User", ({"name": record["name"] * 2} for record in users.list("User")["records"])
    )

    assert copied["inserted"] == 2


def test_the_rows_given_are_not_changed(users: DataFlow):
    rows = [{"name": "a"}, {"name": "b", "age": "5"}]

    users.bulk_create("User", rows)

    assert rows == [{"name": "a"}, {"name": "b", "age": "5"}]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_conflict": "ignore"}, "on_conflict must be one of 'error', 'skip' (got 'ignore')."),
        ({"on_error": "skip"}, "on_error must be one of 'abort', 'collect' (got 'skip')."),
        ({"returning": "id"}, "returning must be one of None, 'ids', 'records' (got 'id')."),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 (got 0)."),
        ({"returning": "ids", "on_conflict": "skip"},
         "returning cannot be combined with on_conflict='skip'."),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_refused(users: DataFlow, options: dict[str, Any], text: str):
    with pytest.raises(ParameterError) as caught:
        users.bulk_create("User", [{"name": "a"}], **options)

    assert str(caught.value) == f"{text}\n  code: DF103"
    assert users.count("User") == 0


def test_a_model_without_other_fields_is_created_in_bulk(db: DataFlow):
    @db.model(timestamps=False)
    class Ticket:
        id: int

    plain = db.bulk_create("Ticket", [{}, {}])
    skipped = db.bulk_create("Ticket", [{}, {}], on_conflict="skip")
    ids = db.bulk_create("Ticket", [{}, {"id": 50}, {}], returning="ids")["ids"]

    assert (plain["inserted"], skipped["inserted"], ids[1]) == (2, 2, 50)
    assert db.count("Ticket") == 7


def test_bulk_create_joins_an_open_transaction(users: DataFlow):
    with pytest.raises(RuntimeError), users.transaction():
        users.bulk_create("User", [{"name": "a"}])
        raise RuntimeError

    assert users.count("User") == 0


# ------------------------------------------------------------- update and delete


def test_bulk_update_gives_every_row_its_own_values(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}, {"name": "b"}, {"name": "c"}])

    result = users.bulk_update(
        "User",
        [{"id": 1, "name": "x"}, {"id": 2, "age": 5, "email": "b@x"}, {"id": 99, "name": "z"}],
        batch_size=2,
    )

    assert result == {"processed": 3, "updated": 2, "success": True}
    assert users.list("User")["records"] == [
        row(1, "x"), row(2, "b", age=5, email="b@x"), row(3, "c"),
    ]  # fmt: skip


def test_of_two_bulk_updates_of_one_record_the_later_wins(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}])

    users.bulk_update("User", [{"id": 1, "name": "x", "age": 1}, {"id": 1, "name": "y"}])

    assert users.read("User", 1) == row(1, "y", age=1)


def test_bulk_update_refuses_rows_that_do_not_fit_and_changes_nothing(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}])

    for bad in (
        {"name": "x"},
        {"id": None, "name": "x"},
        {"id": 1, "nam": "x"},
        {"id": 1, "age": "old"},
    ):
        with pytest.raises(RecordValidationError) as caught:
            users.bulk_update("User", [{"id": 1, "name": "changed"}, bad])

        assert [problem[0] for problem in caught.value.problems] == [1]
    assert users.read("User", 1) == row(1, "a")


@pytest.mark.parametrize("tenants", [False, True])
def test_records_with_keys_of_several_fields_are_returned(db: DataFlow, tenants: bool):
    @db.model(multi_tenant=tenants, timestamps=False)
    class Seat:
        row: str = Field(primary_key=True)
        number: int = Field(primary_key=True)
        price: int = 7

    rows = [{"row": "ä'\"%"[n % 4], "number": n} for n in range(250, 0, -1)]
    with db.tenant("acme"):
        found = db.bulk_create("Seat", rows, returning="records")["records"]

        assert [{name: record[name] for name in ("row", "number")} for record in found] == rows
        assert {record["price"] for record in found} == {7}
        assert found[0] == db.read("Seat", rows[0])


def test_bulk_update_of_more_rows_than_a_statement_holds(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}] * 1_200)

    result = users.bulk_update("User", [{"id": n, "age": n} for n in range(1, 1_201)])

    assert result["updated"] == 1_200
    assert users.count("User", {"age": {"$gt": 600}}) == 600


def test_bulk_update_of_all_matches(users: DataFlow):
    users.bulk_create("User", [{"name": "a"}, {"name": "a"}, {"name": "b"}])

    result = users.bulk_update("User", {"name": "a"}, {"age": 5})

    assert result == {"processed": 2, "updated": 2, "success": True}
    assert [record["age"] for record in users.list("User")["records"]] == [5, 5, 18]


def test_bulk_delete_by_ids_or_filter(users: DataFlow):
    users.bulk_create("User", [{"name": name} for name in "abcd"])

    by_ids = users.bulk_delete("User", ids=[1, "2", 99])
    by_filter = users.bulk_delete("User", {"name": "c"})

    assert by_ids == {"processed": 2, "deleted": 2, "success": True}
    assert by_filter == {"processed": 1, "deleted": 1, "success": True}
    assert [record["name"] for record in users.list("User")["records"]] == ["d"]


@pytest.mark.parametrize("ids", [5, "1", {"id": 1}, [[1]], ["x"]], ids=str)
def test_bulk_delete_refuses_ids_that_are_none(users: DataFlow, ids: Any):
    users.bulk_create("User", [{"name": "a", "id": 1}])

    with pytest.raises((ParameterError, FilterError, RecordValidationError)):
        users.bulk_delete("User", ids=ids)

    assert users.count("User") == 1


# ------------------------------------------------------------------------ upsert


@pytest.fixture
def seeded(users: DataFlow) -> DataFlow:
    users.bulk_create(
        "User", [{"name": "a", "email": "a@x", "age": 1}, {"name": "b", "email": "b@x", "age": 2}]
    )
    return users


def counts(processed: int, inserted: int, updated: int, skipped: int) -> dict[str, Any]:
    return {
        "processed": processed, "inserted": inserted, "updated": updated, "skipped": skipped,
        "success": True,
    }  # fmt: skip


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_upsert_changes_what_exists_and_inserts_the_rest(seeded: DataFlow, batch_size: int | None):
    result = seeded.bulk_upsert(
        "User",
        [{"id": 1, "name": "x"}, {"id": 7, "name": "new", "age": 7}, {"id": 2, "name": "y"}],
        batch_size=batch_size,
    )

    assert result == counts(3, 1, 2, 0)
    assert seeded.list("User")["records"] == [
        row(1, "x", email="a@x", age=1),
        row(2, "y", email="b@x", age=2),
        row(7, "new", age=7),
    ]


def test_upsert_on_another_unique_field(seeded: DataFlow):
    result = seeded.bulk_upsert(
        "User",
        [{"email": "a@x", "name": "x"}, {"email": "n@x", "name": "new"}],
        conflict_on=["email"],
    )

    assert result == counts(2, 1, 1, 0)
    assert seeded.read("User", 1) == row(1, "x", email="a@x", age=1)
    assert seeded.count("User", {"email": "n@x"}) == 1


def test_upsert_changes_only_the_chosen_fields(seeded: DataFlow):
    result = seeded.bulk_upsert(
        "User",
        [{"id": 1, "name": "x", "age": 99}, {"id": 9, "name": "n", "age": 9}],
        update_fields=["age"],
    )

    assert result == counts(2, 1, 1, 0)
    assert seeded.read("User", 1) == row(1, "a", email="a@x", age=99)
    assert seeded.read("User", 9) == row(9, "n", age=9)


def test_upsert_may_leave_existing_records_alone(seeded: DataFlow):
    result = seeded.bulk_upsert(
        "User", [{"id": 1, "name": "x"}, {"id": 9, "name": "n"}], on_conflict="ignore"
    )

    assert result == counts(2, 1, 0, 1)
    assert seeded.read("User", 1)["name"] == "a"


@pytest.mark.parametrize("batch_size", [None, 1])
def test_of_two_upserts_of_one_key_the_later_wins(seeded: DataFlow, batch_size: int | None):
    result = seeded.bulk_upsert(
        "User",
        [
            {"id": 1, "name": "x", "age": 50},
            {"id": 8, "name": "first", "age": 8},
            {"id": 1, "name": "y"},
            {"id": 8, "name": "second"},
        ],
        batch_size=batch_size,
    )

    assert result == counts(4, 1, 3, 0)
    assert seeded.read("User", 1) == row(1, "y", email="a@x", age=50)
    assert seeded.read("User", 8) == row(8, "second", age=8)


def test_of_two_ignored_upserts_of_one_key_the_first_stays(seeded: DataFlow):
    result = seeded.bulk_upsert(
        "User",
        [{"id": 8, "name": "first", "age": 8}, {"id": 8, "name": "second", "age": 9}],
        on_conflict="ignore",
    )

    assert result == counts(2, 1, 0, 1)
    assert seeded.read("User", 8) == row(8, "first", age=8)


def test_upsert_of_more_rows_than_a_statement_holds(seeded: DataFlow):
    rows = [{"id": number, "name": "z", "age": number} for number in range(1, 1_301)]

    result = seeded.bulk_upsert("User", rows)
    again = seeded.bulk_upsert("User", rows)

    assert (result, again) == (counts(1_300, 1_298, 2, 0), counts(1_300, 0, 1_300, 0))


def test_upsert_refuses_rows_without_the_deciding_field(seeded: DataFlow):
    with pytest.raises(RecordValidationError) as caught:
        seeded.bulk_upsert("User", [{"id": 1, "name": "x"}, {"name": "y"}])

    assert str(caught.value) == (
        "values do not fit model 'User':\n"
        "  record 1, id: the field that decides conflicts is required (got None)\n"
        "  code: DF201"
    )
    assert seeded.read("User", 1)["name"] == "a"


def test_upsert_conflicting_on_a_third_field_is_an_error_and_changes_nothing(seeded: DataFlow):
    with pytest.raises(UniqueViolationError):
        seeded.bulk_upsert(
            "User", [{"id": 1, "name": "changed"}, {"id": 9, "name": "n", "email": "b@x"}]
        )

    assert seeded.count("User") == 2
    assert seeded.read("User", 1)["name"] == "a"


def test_upsert_on_fields_unique_together(db: DataFlow):
    @db.model(timestamps=False, unique_together=[("user", "day")])
    class Visit:
        id: int
        user: int
        day: str
        hits: int

    db.bulk_create("Visit", [{"user": 1, "day": "mo", "hits": 1}])

    result = db.bulk_upsert(
        "Visit",
        [{"user": 1, "day": "mo", "hits": 5}, {"user": 1, "day": "tu", "hits": 1}],
        conflict_on=["day", "user"],
    )

    assert result == counts(2, 1, 1, 0)
    assert [r["hits"] for r in db.list("Visit")["records"]] == [5, 1]


def test_upsert_on_fields_that_are_not_unique_is_refused(seeded: DataFlow):
    with pytest.raises(ParameterError) as caught:
        seeded.bulk_upsert("User", [{"name": "a"}], conflict_on=["name"])

    assert str(caught.value) == (
        "conflict_on=['name'] is not unique.\n"
        "  help: unique fields of 'User' are: id, email\n"
        "  code: DF103"
    )


def test_upsert_of_an_append_only_model_is_refused_unless_it_ignores(db: DataFlow):
    @db.model(timestamps=False, append_only=True)
    class Entry:
        id: int
        text: str

    assert db.bulk_upsert("Entry", [{"id": 1, "text": "a"}], on_conflict="ignore")["inserted"] == 1
    with pytest.raises(AppendOnlyError):
        db.bulk_upsert("Entry", [{"id": 1, "text": "b"}])
