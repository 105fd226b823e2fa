"""Options of a model: timestamps, soft delete, versions, append-only, table names."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest

from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder
from dataflow.errors import (
    AppendOnlyError,
    DataFlowError,
    OptionError,
    ParameterError,
    StaleRecordError,
)


def test_timestamps_are_added_and_kept(db: DataFlow):
    @db.model
    class Note:
        text: str

    before = dt.datetime.now(dt.UTC)
    created = db.create("Note", {"text": "a"})
    updated = db.update("Note", 1, {"text": "b"})
    db.bulk_update("Note", {"id": 1}, {"text": "c"})
    third = db.read("Note", 1)
    db.bulk_update("Note", [{"id": 1, "text": "d"}])
    fourth = db.read("Note", 1)
    db.bulk_upsert("Note", [{"id": 1, "text": "e"}])
    fifth = db.read("Note", 1)

    assert list(created) == ["id", "text", "created_at", "updated_at"]
    assert before <= created["created_at"] <= dt.datetime.now(dt.UTC)
    assert created["created_at"] == created["updated_at"]
    versions = [created, updated, third, fourth, fifth]
    assert {record["created_at"] for record in versions} == {created["created_at"]}
    changes = [record["updated_at"] for record in versions]
    assert changes == sorted(set(changes))


def test_timestamps_may_be_given(db: DataFlow):
    @db.model
    class Note:
        text: str

    then = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

    one = db.create("Note", {"text": "a", "created_at": then, "updated_at": then})
    many = db.bulk_create("Note", [{"text": "a", "created_at": then}], returning="records")

    assert (one["created_at"], one["updated_at"]) == (then, then)
    assert many["records"][0]["created_at"] == then
    assert many["records"][0]["updated_at"] > then


def test_bulk_created_records_have_timestamps(db: DataFlow):
    @db.model
    class Note:
        text: str

    records = db.bulk_create("Note", [{"text": "a"}, {"text": "b"}], returning="records")["records"]

    assert len({record["created_at"] for record in records}) == 1
    assert records[0]["created_at"].tzinfo is not None


def test_declared_timestamps_belong_to_the_class(db: DataFlow):
    @db.model
    class Note:
        text: str
        created_at: dt.date = dt.date(2000, 1, 1)

    created = db.create("Note", {"text": "a"})

    assert created["created_at"] == dt.date(2000, 1, 1)
    assert created["updated_at"].tzinfo is not None


@pytest.mark.parametrize("where", ["decorator", "class"])
def test_timestamps_may_be_off(db: DataFlow, where: str):
    if where == "decorator":

        @db.model(timestamps=False)
        class Note:
            text: str

    else:

        @db.model
        class Note:
            text: str
            __dataflow__ = {"timestamps": False}

    assert db.create("Note", {"text": "a"}) == {"id": 1, "text": "a"}


def test_the_decorator_wins_over_the_class(memory: DataFlow):
    @memory.model(timestamps=False, table="from_decorator")
    class Note:
        text: str
        __dataflow__ = {"timestamps": True, "table": "from_class", "soft_delete": True}

    assert Note.__dataflow__.table.name == "from_decorator"
    assert list(Note.__dataflow__.fields) == ["id", "text", "deleted_at"]


# -------------------------------------------------------------------- soft delete


@pytest.fixture(params=["timestamps", "no timestamps", "own updated_at"])
def notes(db: DataFlow, request: pytest.FixtureRequest) -> DataFlow:
    if request.param == "own updated_at":

        @db.model(soft_delete=True)
        class Note:
            text: str
            code: str | None = Field(default=None, unique=True)
            updated_at: dt.date | None = None

    else:

        @db.model(soft_delete=True, timestamps=request.param == "timestamps")
        class Note:
            text: str
            code: str | None = Field(default=None, unique=True)

    db.bulk_create("Note", [{"text": "a", "code": "1"}, {"text": "b"}, {"text": "b"}])
    return db


def texts(db: DataFlow, **options: Any) -> str:
    records = db.list("Note", sort="id", **options)["records"]
    return "".join(record["text"] for record in records)


def test_a_softly_deleted_record_is_hidden_from_every_verb(notes: DataFlow):
    deleted = notes.delete("Note", 1)

    assert deleted is True
    assert texts(notes) == "bb"
    assert notes.read("Note", 1) is None
    assert notes.count("Note") == 2
    assert notes.update("Note", 1, {"text": "x"}) is None
    assert notes.bulk_update("Note", {"id": 1}, {"text": "x"})["updated"] == 0
    assert notes.bulk_update("Note", [{"id": 1, "text": "x"}])["updated"] == 0
    assert notes.delete("Note", 1) is False
    assert notes.bulk_delete("Note", ids=[1])["deleted"] == 0


def test_a_softly_deleted_record_is_there_with_include_deleted(notes: DataFlow):
    notes.delete("Note", 1)

    record = notes.read("Note", 1, include_deleted=True)

    assert record["text"] == "a"
    assert abs(dt.datetime.now(dt.UTC) - record["deleted_at"]) < dt.timedelta(minutes=1)
    assert texts(notes, include_deleted=True) == "abb"
    page = notes.list("Note", include_deleted=True, count=True)
    assert (page["count"], page["total"]) == (3, 3)


def test_a_softly_deleted_record_is_restored_by_an_update(notes: DataFlow):
    notes.delete("Note", 1)

    restored = notes.update("Note", 1, {"deleted_at": None}, include_deleted=True)

    assert restored["deleted_at"] is None
    assert texts(notes) == "abb"


def test_a_hard_delete_removes_the_record(notes: DataFlow):
    notes.delete("Note", 1, hard=True)

    assert notes.read("Note", 1, include_deleted=True) is None


def test_many_records_are_softly_deleted(notes: DataFlow):
    result = notes.bulk_delete("Note", {"text": "b"})
    again = notes.bulk_delete("Note", {"text": "b"})
    hard = notes.bulk_delete("Note", ids=[1], hard=True)

    assert result == {"processed": 2, "deleted": 2, "success": True}
    assert again == {"processed": 0, "deleted": 0, "success": True}
    assert hard == {"processed": 1, "deleted": 1, "success": True}
    assert texts(notes, include_deleted=True) == "bb"


def test_a_deleted_record_does_not_count_as_a_second_match(notes: DataFlow):
    notes.delete("Note", 2)

    assert notes.read("Note", {"text": "b"})["id"] == 3
    assert notes.update("Note", {"text": "b"}, {"text": "c"})["id"] == 3
    assert notes.delete("Note", {"text": "c"}) is True


# ---------------------------------------------------------------------- versions


@pytest.fixture
def pages(db: DataFlow) -> DataFlow:
    @db.model(versioned=True, timestamps=False)
    class Page:
        id: int
        text: str

    db.bulk_create("Page", [{"text": "a"}, {"text": "b"}])
    return db


def test_every_change_raises_the_version(pages: DataFlow):
    versions = [pages.read("Page", 1)["version"]]
    versions.append(pages.update("Page", 1, {"text": "b"})["version"])
    pages.bulk_update("Page", {"id": 1}, {"text": "c"})
    versions.append(pages.read("Page", 1)["version"])
    pages.bulk_update("Page", [{"id": 1, "text": "d"}])
    versions.append(pages.read("Page", 1)["version"])
    pages.bulk_upsert("Page", [{"id": 1, "text": "e"}])
    versions.append(pages.read("Page", 1)["version"])

    assert versions == [1, 2, 3, 4, 5]
    assert pages.create("Page", {"text": "x"}) == {"id": 3, "text": "x", "version": 1}
    assert pages.read("Page", 2)["version"] == 1


def test_an_update_of_the_expected_version_succeeds(pages: DataFlow):
    updated = pages.update("Page", 1, {"text": "b"}, expect_version=1)

    assert updated == {"id": 1, "text": "b", "version": 2}


def test_an_update_of_another_version_is_refused(pages: DataFlow):
    pages.update("Page", 1, {"text": "b"})

    with pytest.raises(StaleRecordError) as caught:
        pages.update("Page", 1, {"text": "c"}, expect_version=1)

    assert str(caught.value) == (
        "'Page' id=1 is at version 2, expected 1.\n"
        "  help: read the record again, apply the change to it, and update with its version\n"
        "  code: DF208"
    )
    assert (caught.value.retryable, caught.value.outcome) == (True, "not_applied")
    assert pages.read("Page", 1) == {"id": 1, "text": "b", "version": 2}


def test_a_missing_record_is_not_stale(pages: DataFlow):
    assert pages.update("Page", 9, {"text": "c"}, expect_version=1) is None


def test_a_caller_cannot_set_the_version(pages: DataFlow):
    updated = pages.update("Page", 1, {"text": "b", "version": 50})

    assert updated == {"id": 1, "text": "b", "version": 2}


def test_an_expected_version_of_an_unversioned_model_is_refused(db: DataFlow):
    @db.model(timestamps=False)
    class Note:
        id: int
        text: str

    db.create("Note", {"text": "a"})

    with pytest.raises(ParameterError):
        db.update("Note", 1, {"text": "b"}, expect_version=1)


NO_VERSION = ["1", 1.0, True, 1.5, 2**70, [1]]


@pytest.mark.parametrize("version", NO_VERSION)
def test_what_is_no_version_is_refused_by_the_verb_and_changes_nothing(
    pages: DataFlow, version: Any
):
    with pytest.raises(ParameterError) as caught:
        pages.update("Page", 1, {"text": "b"}, expect_version=version)

    assert caught.value.problem_text() == (
        f"expect_version must be a whole number of 64 bits (got {version!r})."
    )
    assert pages.read("Page", 1) == {"id": 1, "text": "a", "version": 1}


def test_a_version_that_no_record_has_is_a_stale_record(pages: DataFlow):
    with pytest.raises(StaleRecordError):
        pages.update("Page", 1, {"text": "b"}, expect_version=-1)


@pytest.mark.parametrize("version", NO_VERSION)
def test_what_is_no_version_is_refused_by_the_node_before_the_run(pages: DataFlow, version: Any):
    workflow = WorkflowBuilder(db=pages)

    with pytest.raises(ParameterError, match=r"expect_version'? must be"):
        workflow.add_node("PageUpdateNode", "a", {"id": 1, "text": "b", "expect_version": version})


def test_what_is_no_version_is_refused_where_the_run_gives_it(
    pages: DataFlow, runtime: LocalRuntime
):
    workflow = WorkflowBuilder(db=pages)
    workflow.add_node("PageUpdateNode", "write", {"id": 1, "text": "b"})

    with pytest.raises(DataFlowError, match=r"expect_version'? must be"):
        runtime.execute(workflow.build(), parameters={"write": {"expect_version": 1.0}})
    assert pages.read("Page", 1)["version"] == 1


# ------------------------------------------------------------------- append-only


def test_an_append_only_model_takes_new_records_alone(db: DataFlow):
    @db.model(append_only=True, timestamps=False)
    class Entry:
        id: int
        text: str

    db.create("Entry", {"text": "a"})
    db.bulk_create("Entry", [{"text": "b"}])
    ignored = db.bulk_upsert("Entry", [{"id": 1, "text": "x"}], on_conflict="ignore")

    calls: list[tuple[str, Any, Any]] = [
        ("Update", db.update, ("Entry", 1, {"text": "x"})),
        ("Delete", db.delete, ("Entry", 1)),
        ("BulkUpdate", db.bulk_update, ("Entry", {"id": 1}, {"text": "x"})),
        ("BulkUpdate", db.bulk_update, ("Entry", [{"id": 1, "text": "x"}])),
        ("BulkDelete", db.bulk_delete, ("Entry", {"id": 1})),
        ("BulkUpsert", db.bulk_upsert, ("Entry", [{"id": 1, "text": "x"}])),
    ]
    for verb, call, args in calls:
        with pytest.raises(AppendOnlyError) as caught:
            call(*args)

        assert str(caught.value) == (
            f"model 'Entry' is append-only: {verb} is refused.\n  code: DF211"
        )
    assert ignored["skipped"] == 1
    assert db.list("Entry")["records"] == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]


# ----------------------------------------------------------------- wrong options


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"soft_deleted": True}, ("model 'Note': there is no option 'soft_deleted'.\n"
         "  help: did you mean 'soft_delete'?\n  code: DF114")),
        ({"indexes": 5}, ("model 'Note': indexes must be a list of field names or of lists of "
         "them.\n  code: DF114")),
        ({"indexes": ["txt"]}, ("model 'Note': an index names the field 'txt', which does not "
         "exist.\n  help: did you mean 'text'?\n  code: DF114")),
        ({"unique_together": [("text", "nope")]}, ("model 'Note': an index names the field 'nope', "
         "which does not exist.\n"
         "  help: choose from 'created_at', 'id', 'text', 'updated_at'\n  code: DF114")),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_refused(memory: DataFlow, options: dict[str, Any], text: str):
    with pytest.raises(OptionError) as caught:

        @memory.model(**options)
        class Note:
            id: int
            text: str

    assert str(caught.value) == text
    assert memory.list_models() == []


@pytest.mark.parametrize(
    "options", [{"timestamps": "yes"}, {"table": 5}, {"soft_delete": None}], ids=str
)
def test_an_option_of_the_wrong_type_is_refused(memory: DataFlow, options: dict[str, Any]):
    with pytest.raises(OptionError):

        @memory.model(**options)
        class Note:
            id: int


def test_a_model_that_was_refused_may_be_declared_again(memory: DataFlow):
    with pytest.raises(OptionError):

        @memory.model(indexes=["nope"])
        class Note:
            id: int

    @memory.model(timestamps=False)  # type: ignore[no-redef]  # the corrected class
    class Note:
        id: int

    assert memory.create("Note", {}) == {"id": 1}


def test_bulk_verbs_reach_deleted_records_where_they_are_told_to(db: DataFlow):
    @db.model(soft_delete=True)
    class Draft:
        text: str

    db.bulk_create("Draft", [{"text": text} for text in "abc"])
    db.bulk_delete("Draft", ids=[1, 2])

    hidden = {"deleted_at": {"$null": False}}
    assert db.bulk_update("Draft", hidden, {"text": "z"})["updated"] == 0
    assert db.bulk_update("Draft", hidden, {"text": "z"}, include_deleted=True)["updated"] == 2
    rows = [{"id": 1, "text": "y"}, {"id": 3, "text": "y"}]
    assert db.bulk_update("Draft", rows)["updated"] == 1
    assert db.bulk_update("Draft", rows, include_deleted=True)["updated"] == 2
    assert db.bulk_delete("Draft", ids=[1], hard=True, include_deleted=True)["deleted"] == 1
    assert len(db.list("Draft", include_deleted=True)["records"]) == 2
    with pytest.raises(ParameterError, match="include_deleted"):
        db.bulk_delete("Draft", ids=[1], include_delete=True)


def test_a_dataclass_keeps_its_factories(db: DataFlow):
    @db.model
    @dataclass
    class Paper:
        name: str
        tags: list[str] = field(default_factory=list)

    assert db.create("Paper", {"name": "x"})["tags"] == []
    db.bulk_create("Paper", [{"name": "y"}])
    assert [paper["tags"] for paper in db.list("Paper")["records"]] == [[], []]
    assert Paper("z").tags == []


def test_a_field_that_is_declared_again_keeps_its_own_default(db: DataFlow):
    @dataclass
    class Tagged:
        kind: str = field(default_factory=lambda: "made")
        place: str = field(default_factory=lambda: "there")

    class Note(Tagged):
        id: int
        kind: str = "own"

    db.model(timestamps=False)(Note)

    created = db.create("Note", {})
    assert (created["kind"], created["place"]) == ("own", "there")
    db.bulk_create("Note", [{}])
    assert [note["kind"] for note in db.list("Note")["records"]] == ["own", "own"]


def test_a_frozen_dataclass_is_refused(memory: DataFlow):
    with pytest.raises(OptionError, match="its objects are frozen"):

        @memory.model
        @dataclass(frozen=True)
        class Paper:
            name: str
