"""The nine nodes and the verbs of both faces: inputs, outputs and refusals."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder
from dataflow.errors import (
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    RecordValidationError,
    UnfilteredWriteError,
    UnknownFieldError,
    UnknownModelError,
    WorkflowDefinitionError,
    WorkflowFailedError,
)

RunNode = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture
def users(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class User:
        id: int
        name: str
        email: str = Field(unique=True)
        active: bool = True

    db.bulk_create("User", [{"name": "Ada", "email": "a@x"}, {"name": "Bob", "email": "b@x"}])
    return db


ADA = {"id": 1, "name": "Ada", "email": "a@x", "active": True}
BOB = {"id": 2, "name": "Bob", "email": "b@x", "active": True}
CYD = {"id": 3, "name": "Cyd", "email": "c@x", "active": True}

OUTPUTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("UserCreateNode", {"name": "Cyd", "email": "c@x"}, CYD),
    ("UserCreateNode", {"data": {"name": "Cyd", "email": "c@x"}}, CYD),
    ("UserCreateNode", {"id": 9, "name": "C", "email": "c", "active": False},
     {"id": 9, "name": "C", "email": "c", "active": False}),
    ("UserReadNode", {"id": 1}, {**ADA, "found": True}),
    ("UserReadNode", {"record_id": "1"}, {**ADA, "found": True}),
    ("UserReadNode", {"filter": {"name": "Ada"}}, {**ADA, "found": True}),
    ("UserReadNode", {"conditions": {"name": "Ada"}}, {**ADA, "found": True}),
    ("UserReadNode", {"where": {"name": "Ada"}}, {**ADA, "found": True}),
    ("UserReadNode", {"id": 1, "fields": ["email"]}, {"email": "a@x", "found": True}),
    ("UserReadNode", {"id": 99}, {"found": False}),
    ("UserReadNode", {"filter": {"name": "Eve"}}, {"found": False}),
    ("UserUpdateNode", {"id": 1, "name": "Eve"}, {**ADA, "name": "Eve", "updated": True}),
    ("UserUpdateNode", {"record_id": 1, "name": "Eve"}, {**ADA, "name": "Eve", "updated": True}),
    ("UserUpdateNode", {"id": 1, "fields": {"name": "Eve"}},
     {**ADA, "name": "Eve", "updated": True}),
    ("UserUpdateNode", {"id": 1, "updates": {"name": "Eve"}},
     {**ADA, "name": "Eve", "updated": True}),
    ("UserUpdateNode", {"id": 1, "data": {"name": "Eve"}}, {**ADA, "name": "Eve", "updated": True}),
    ("UserUpdateNode", {"filter": {"email": "a@x"}, "fields": {"active": False}},
     {**ADA, "active": False, "updated": True}),
    ("UserUpdateNode", {"where": {"name": "Ada"}, "active": False},
     {**ADA, "active": False, "updated": True}),
    ("UserUpdateNode", {"id": 99, "name": "Eve"}, {"updated": False}),
    ("UserDeleteNode", {"id": 1}, {"id": 1, "deleted": True}),
    ("UserDeleteNode", {"record_id": 1}, {"id": 1, "deleted": True}),
    ("UserDeleteNode", {"filter": {"name": "Ada"}}, {"id": 1, "deleted": True}),
    ("UserDeleteNode", {"id": 99}, {"id": 99, "deleted": False}),
    ("UserDeleteNode", {"filter": {"name": "Eve"}}, {"id": None, "deleted": False}),
    ("UserListNode", {}, {"records": [ADA, BOB], "count": 2, "total": None, "next": None}),
    ("UserListNode", {"filter": {"name": "Ada"}, "count": True},
     {"records": [ADA], "count": 1, "total": 1, "next": None}),
    ("UserListNode", {"where": {"name": "Ada"}, "fields": ["id"]},
     {"records": [{"id": 1}], "count": 1, "total": None, "next": None}),
    ("UserListNode", {"order_by": "-name", "offset": 1, "limit": 5},
     {"records": [ADA], "count": 1, "total": None, "next": None}),
    ("UserListNode", {"sort": {"name": -1}},
     {"records": [BOB, ADA], "count": 2, "total": None, "next": None}),
    ("UserBulkCreateNode", {"data": [{"name": "Cyd", "email": "c@x"}]},
     {"processed": 1, "inserted": 1, "skipped": 0, "rejected": [], "success": True}),
    ("UserBulkCreateNode", {"records": [{"name": "Cyd", "email": "c@x"}], "returning": "ids"},
     {"processed": 1, "inserted": 1, "skipped": 0, "rejected": [], "ids": [3], "success": True}),
    ("UserBulkCreateNode", {"data": [{"name": "Cyd", "email": "c@x"}], "returning": "records"},
     {"processed": 1, "inserted": 1, "skipped": 0, "rejected": [], "records": [CYD],
      "success": True}),
    ("UserBulkCreateNode", {"data": []},
     {"processed": 0, "inserted": 0, "skipped": 0, "rejected": [], "success": True}),
    ("UserBulkUpdateNode", {"filter": {"active": True}, "fields": {"active": False}},
     {"processed": 2, "updated": 2, "success": True}),
    ("UserBulkUpdateNode", {"where": {"active": True}, "update": {"active": False}},
     {"processed": 2, "updated": 2, "success": True}),
    ("UserBulkUpdateNode", {"conditions": {"id": 1}, "data": {"active": False}},
     {"processed": 1, "updated": 1, "success": True}),
    ("UserBulkUpdateNode", {"data": [{"id": 1, "name": "x"}, {"id": 99, "name": "y"}]},
     {"processed": 2, "updated": 1, "success": True}),
    ("UserBulkUpdateNode", {"all": True, "fields": {"active": False}},
     {"processed": 2, "updated": 2, "success": True}),
    ("UserBulkDeleteNode", {"filter": {"name": "Ada"}},
     {"processed": 1, "deleted": 1, "success": True}),
    ("UserBulkDeleteNode", {"ids": [1, 2, 99]}, {"processed": 2, "deleted": 2, "success": True}),
    ("UserBulkDeleteNode", {"ids": []}, {"processed": 0, "deleted": 0, "success": True}),
    ("UserBulkDeleteNode", {"all": True}, {"processed": 2, "deleted": 2, "success": True}),
    ("UserBulkUpsertNode",
     {"data": [{"id": 1, "name": "x", "email": "a@x"}, {"id": 7, "name": "y", "email": "y"}]},
     {"processed": 2, "inserted": 1, "updated": 1, "skipped": 0, "success": True}),
    ("UserBulkUpsertNode",
     {"records": [{"name": "x", "email": "a@x"}], "conflict_on": ["email"]},
     {"processed": 1, "inserted": 0, "updated": 1, "skipped": 0, "success": True}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "inputs", "output"), OUTPUTS, ids=[f"{item[0]}-{item[1]}" for item in OUTPUTS]
)
def test_a_node_returns_what_the_grammar_says(
    users: DataFlow, run_node: RunNode, node: str, inputs: Any, output: Any
):
    assert run_node(node, inputs) == output


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("UserCreateNode", {"name": "x", "email": "e", "nam": 1},
     "there is no input 'nam'; did you mean 'name'?"),
    ("UserCreateNode", {"name": "x"}, "input 'email' (str) is neither given nor connected"),
    ("UserCreateNode", {"name": "x", "data": {"email": "e"}},
     "give the fields flat or as data, not both."),
    ("UserReadNode", {}, "nothing says which record: give id, or a filter"),
    ("UserReadNode", {"id": 1, "filter": {"name": "Ada"}},
     "give the key or a filter, not both."),
    ("UserReadNode", {"id": 1, "record_id": 2},
     "input 'id' is given twice, once as 'record_id'."),
    ("UserReadNode", {"filter": {}, "where": {"name": "x"}},
     "input 'filter' is given twice, once as 'where'."),
    ("UserReadNode", {"id": 1, "filtr": {}}, "there is no input 'filtr'; did you mean 'filter'?"),
    ("UserReadNode", {"id": 1, "fields": ["nam"]},
     "model 'User' has no field 'nam'. Did you mean 'name'?"),
    ("UserReadNode", {"id": "abc"},
     ("values do not fit model 'User': id: Input should be a valid integer, unable to parse "
     "string as an integer (got 'abc')")),
    ("UserReadNode", {"filter": {"nam": 1}},
     "model 'User' has no field 'nam'. Did you mean 'name'?"),
    ("UserUpdateNode", {"id": 1}, "nothing says what to change: give fields"),
    ("UserUpdateNode", {"name": "x"}, "nothing says which record: give id, or a filter"),
    ("UserUpdateNode", {"id": 1, "fields": {"id": 5}},
     "the primary key 'id' cannot be changed."),
    ("UserUpdateNode", {"filter": {}, "fields": {"name": "x"}},
     ("Update of 'User' has an empty filter and would change every record. Give a filter, or "
     "all=True (BulkUpdate and BulkDelete) if every record is meant")),
    ("UserUpdateNode", {"id": 1, "name": "x", "fields": {"name": "y"}},
     "give the new values flat or as fields, not both."),
    ("UserUpdateNode", {"id": 1, "name": "x", "expect_version": 1},
     "model 'User' is not versioned, so expect_version has no use."),
    ("UserDeleteNode", {}, "nothing says which record: give id, or a filter"),
    ("UserDeleteNode", {"filter": {}},
     ("Delete of 'User' has an empty filter and would change every record. Give a filter, or "
     "all=True (BulkUpdate and BulkDelete) if every record is meant")),
    ("UserListNode", {"limit": 0},
     "limit must be a whole number from 1 (got 0). Limit=None returns all records"),
    ("UserListNode", {"sort": "nam"}, "model 'User' has no field 'nam'. Did you mean 'name'?"),
    ("UserListNode", {"include": ["posts"]},
     "model 'User' has no field 'posts'. There are none to choose from"),
    ("UserListNode", {"count": "perhaps"},
     "input 'count' must be bool | Literal['estimate'] (got 'perhaps')."),
    ("UserBulkCreateNode", {}, "input 'data' is neither given nor connected"),
    ("UserBulkCreateNode", {"data": [], "on_conflict": "ignore"},
     "input 'on_conflict' must be Literal['error', 'skip'] (got 'ignore')."),
    ("UserBulkCreateNode", {"data": [], "returning": "ids", "on_conflict": "skip"},
     "returning cannot be combined with on_conflict='skip'."),
    ("UserBulkCreateNode", {"data": [], "batch_size": 0},
     "batch_size must be a whole number from 1 (got 0)."),
    ("UserBulkUpdateNode", {"fields": {"name": "x"}},
     ("nothing says which records, so it would change every record: give a filter, or all=True "
      "if every record is meant")),
    ("UserBulkUpdateNode", {"filter": {"id": 1}},
     "nothing says what to change: give filter and fields, or data"),
    ("UserBulkUpdateNode", {"filter": {"id": 1}, "fields": {"id": 2}},
     "the primary key 'id' cannot be changed."),
    ("UserBulkUpdateNode", {"filter": {"id": 1}, "data": [{"id": 1}]},
     "a filter goes with fields; rows in data carry their own key."),
    ("UserBulkUpdateNode", {"all": "perhaps", "fields": {"name": "x"}},
     "input 'all' must be bool (got 'perhaps')."),
    ("UserBulkDeleteNode", {},
     ("nothing says which records, so it would change every record: give a filter, or all=True "
      "if every record is meant")),
    ("UserBulkDeleteNode", {"ids": [1], "filter": {"id": 1}},
     "BulkDelete takes ids or a filter, not both."),
    ("UserBulkUpsertNode", {"data": [], "conflict_on": ["name"]},
     "conflict_on=['name'] is not unique. Unique fields of 'User' are: id, email"),
    ("UserBulkUpsertNode", {"data": [], "update_fields": ["nam"]},
     "model 'User' has no field 'nam'. Did you mean 'name'?"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "inputs", "problem"), REFUSED, ids=[f"{item[0]}-{item[1]}" for item in REFUSED]
)
def test_wrong_inputs_are_refused_before_anything_runs(
    memory: DataFlow, node: str, inputs: Any, problem: str
):
    @memory.model(timestamps=False)
    class User:
        id: int
        name: str
        email: str = Field(unique=True)

    workflow = WorkflowBuilder(db=memory)

    with pytest.raises((ParameterError, WorkflowDefinitionError)) as caught:
        workflow.add_node(node, "only", inputs)
        workflow.build()

    text = caught.value.problem_text()
    assert problem in text
    assert f"{node}: {node}" not in text


def failure(run_node: RunNode, node: str, inputs: dict[str, Any]) -> BaseException:
    with pytest.raises(WorkflowFailedError) as caught:
        run_node(node, inputs)
    return caught.value.failures["only"]


@pytest.mark.parametrize(
    ("node", "inputs", "verb", "instead"),
    [
        ("UserReadNode", {}, "Read", "use a List node to get them all"),
        ("UserUpdateNode", {"fields": {"name": "x"}}, "Update",
         "use a BulkUpdate node to change them all"),
        ("UserDeleteNode", {}, "Delete", "use a BulkDelete node to change them all"),
    ],
)  # fmt: skip
def test_several_matches_are_refused_and_none_is_changed(
    users: DataFlow, run_node: RunNode, node: str, inputs: Any, verb: str, instead: str
):
    error = failure(run_node, node, {"filter": {"active": True}, **inputs})

    assert isinstance(error, MultipleRecordsError)
    assert str(error) == (
        f"several records of 'User' match active=True; {verb} takes at most one.\n"
        f"  help: {instead}\n"
        "  code: DF207"
    )
    assert users.list("User")["records"] == [ADA, BOB]


def test_read_raises_for_a_missing_record_when_told(users: DataFlow, run_node: RunNode):
    by_id = failure(run_node, "UserReadNode", {"id": 7, "raise_on_not_found": True})
    by_filter = failure(
        run_node,
        "UserReadNode",
        {"filter": {"name": "Eve", "active": True}, "raise_on_not_found": True},
    )

    assert isinstance(by_id, RecordNotFoundError)
    assert str(by_id) == "there is no 'User' with id=7.\n  code: DF206"
    assert str(by_filter) == "there is no 'User' with a filter of 2 value(s).\n  code: DF206"


def test_a_field_of_a_record_that_was_not_found_fails_where_it_is_used(
    users: DataFlow, runtime: LocalRuntime
):
    workflow = WorkflowBuilder(db=users)
    workflow.add_node("UserReadNode", "find", {"id": 99})
    workflow.add_node("UserUpdateNode", "change", {"id": 1})
    workflow.add_connection("find", "name", "change", "name")

    with pytest.raises(WorkflowFailedError) as caught:
        runtime.execute(workflow)

    assert list(caught.value.failures) == ["change"]
    assert caught.value.failures["change"].problem_text() == (
        "node 'change' needs find['name'], but 'find' found no record."
    )
    assert caught.value.results["find"] == {"found": False}


def test_a_connected_empty_filter_is_refused_when_it_arrives(
    users: DataFlow, runtime: LocalRuntime
):
    @users.node
    def choose() -> dict[str, Any]:
        return {"filter": {}}

    for node in ("UserBulkDeleteNode", "UserDeleteNode"):
        workflow = WorkflowBuilder(db=users)
        workflow.add_node("choose", "choose", {})
        workflow.add_node(node, "gone", {})
        workflow.add_connection("choose", "filter", "gone", "filter")

        with pytest.raises(WorkflowFailedError) as caught:
            runtime.execute(workflow)

        assert isinstance(caught.value.failures["gone"], UnfilteredWriteError)
    assert users.count("User") == 2


@pytest.mark.parametrize(
    "filter",
    [
        {"$and": [{}]}, {"$or": [{}]}, {"$and": [{}, {}]}, {"$or": [{}, {"id": 1}]},
        {"$and": [{"$or": [{}]}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_of_empty_parts_is_an_empty_filter(users: DataFlow, filter: Any):
    for call, *args in (
        (users.bulk_delete, "User", filter),
        (users.bulk_update, "User", filter, {"name": "x"}),
    ):
        with pytest.raises(UnfilteredWriteError):
            call(*args)

    assert users.list("User")["records"] == [ADA, BOB]


# ------------------------------------------------------------------------ schema


def test_the_nine_nodes_are_found_in_three_ways(users: DataFlow):
    names = [
        f"User{verb}Node"
        for verb in ("Create", "Read", "Update", "Delete", "List", "BulkCreate", "BulkUpdate",
                     "BulkDelete", "BulkUpsert")
    ]  # fmt: skip

    nodes = users.get_generated_nodes("User")

    assert list(nodes) == names
    assert [getattr(users.nodes, name) for name in names] == list(nodes.values())
    assert users.get_generated_nodes("users") == nodes


def test_a_node_describes_itself(users: DataFlow):
    assert users.nodes.UserCreateNode.describe() == (
        "UserCreateNode\n"
        "  Insert one record; inputs are the model's fields, the output is the stored record.\n"
        "  needs: name, email\n"
        "  accepts: id=None, active=True, data=None, include_deleted=False\n"
        "  returns: id: int, name: str, email: str, active: bool"
    )
    assert users.nodes.UserDeleteNode.describe() == (
        "UserDeleteNode\n"
        "  Delete one record, found by key or filter; output: its `id`, and `deleted`.\n"
        "  needs: nothing\n"
        "  accepts: id=None, filter=None, hard=False, include_deleted=False\n"
        "  returns: id: int, deleted: bool"
    )


def test_a_node_has_a_json_schema(users: DataFlow):
    schema = users.nodes.UserCreateNode.json_schema()

    assert schema["required"] == ["name", "email"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == [
        "name", "email", "id", "active", "data", "include_deleted",
    ]  # fmt: skip
    assert schema["properties"]["active"] == {"type": "boolean", "default": True}


def test_the_parameters_name_every_accepted_spelling(users: DataFlow):
    parameters = users.nodes.UserListNode.parameters()

    assert list(parameters) == [
        "filter", "sort", "limit", "offset", "after", "fields", "include", "count",
        "include_deleted",
    ]  # fmt: skip
    assert parameters["filter"].aliases == ("conditions", "where")
    assert parameters["sort"].aliases == ("order_by",)
    assert parameters["limit"].default == 100


# ------------------------------------------------------------------------- verbs


def test_the_verbs_return_records_or_none_or_counts(users: DataFlow):
    assert users.create("User", {"name": "Cyd", "email": "c@x"}) == CYD
    assert users.create("User", name="Dan", email="d@x") == {
        "id": 4, "name": "Dan", "email": "d@x", "active": True,
    }  # fmt: skip
    assert users.read("User", 1) == ADA
    assert users.read("User", {"name": "Ada"}) == ADA
    assert users.read("User", filter={"name": "Ada"}) == ADA
    assert users.read("User", 99) is None
    assert users.update("User", 1, {"name": "Eve"}) == {**ADA, "name": "Eve"}
    assert users.update("users", {"id": 1}, {"name": "Ada"}) == ADA
    assert users.update("User", 99, {"name": "x"}) is None
    assert users.delete("User", 4) is True
    assert users.delete("User", {"name": "Nobody"}) is False
    assert users.count("User", {"active": True}) == 3
    assert users.list("User", {"name": "Ada"}) == {
        "records": [ADA], "count": 1, "total": None, "next": None,
    }  # fmt: skip


def test_every_field_name_may_be_a_keyword_of_create(db: DataFlow):
    names = ("name", "twin", "make", "model", "data", "self", "args", "filter", "coroutine")

    @db.model(timestamps=False)
    class Odd:
        id: int
        name: str
        twin: str
        make: str
        model: str
        data: str
        self: str
        args: str
        filter: str
        coroutine: str

    created = db.create("Odd", **{name: name for name in names})

    assert created == {"id": 1, **{name: name for name in names}}


def test_a_filter_may_be_given_by_name_to_every_verb_that_takes_one(users: DataFlow):
    assert users.list("User", filter={"name": "Ada"})["records"] == [ADA]
    assert users.count("User", filter={"name": "Ada"}) == 1
    assert users.read("User", filter={"name": "Ada"}) == ADA
    assert users.bulk_delete("User", filter={"name": "Ada"})["deleted"] == 1


@pytest.mark.parametrize(
    ("verb", "args", "options"),
    [
        ("read", (1,), {"filds": ["id"]}),
        ("read", (), {"filtr": {"id": 1}}),
        ("list", (), {"filtr": {"id": 1}}),
        ("list", (), {"filed": ["id"]}),
        ("update", (1, {"name": "x"}), {"expected_version": 1}),
        ("delete", (1,), {"hrad": True}),
        ("count", (), {"filtr": {"id": 1}}),
        ("bulk_create", ([],), {"on_eror": "collect"}),
        ("bulk_update", ({"id": 1}, {"name": "x"}), {"al": True}),
        ("bulk_delete", (), {"id": [1]}),
        ("bulk_upsert", ([],), {"conflict": ["id"]}),
    ],
    ids=str,
)
def test_an_unknown_option_of_a_verb_is_refused(
    users: DataFlow, verb: str, args: tuple[Any, ...], options: dict[str, Any]
):
    with pytest.raises((ParameterError, TypeError), match=next(iter(options))):
        getattr(users, verb)("User", *args, **options)

    assert users.list("User")["records"] == [ADA, BOB]


def test_a_model_is_named_by_class_name_or_table(db: DataFlow):
    @db.model(timestamps=False)
    class BlogPost:
        id: int

    db.create(BlogPost, {})

    assert db.read(BlogPost, 1) == db.read("BlogPost", 1) == db.read("blog_posts", 1) == {"id": 1}


def test_an_unknown_model_is_refused_with_the_nearest(users: DataFlow):
    class Stranger:
        pass

    with pytest.raises(UnknownModelError) as by_name:
        users.read("Usr", 1)
    with pytest.raises(UnknownModelError) as by_class:
        users.read(Stranger, 1)
    with pytest.raises(UnknownModelError):
        users.read(5, 1)

    assert str(by_name.value) == (
        "there is no model 'Usr'.\n  help: did you mean 'User'?\n  code: DF107"
    )
    assert str(by_class.value) == (
        "there is no model 'Stranger'.\n  help: choose from 'User'\n  code: DF107"
    )


def test_a_read_that_names_no_record_says_so(users: DataFlow):
    for call in (lambda: users.read("User"), lambda: users.read("User", {})):
        with pytest.raises((ParameterError, UnfilteredWriteError)) as caught:
            call()

        assert "change every record" not in str(caught.value)


def test_writes_without_a_filter_are_refused(users: DataFlow):
    calls: list[tuple[Any, ...]] = [
        (users.update, "User", None, {"name": "x"}),
        (users.update, "User", {}, {"name": "x"}),
        (users.delete, "User", None),
        (users.delete, "User", {}),
        (users.bulk_update, "User", None, {"name": "x"}),
        (users.bulk_update, "User", {}, {"name": "x"}),
        (users.bulk_delete, "User"),
        (users.bulk_delete, "User", {}),
    ]

    for call, *args in calls:
        with pytest.raises(UnfilteredWriteError):
            call(*args)

    assert users.list("User")["records"] == [ADA, BOB]
    assert users.bulk_update("User", None, {"active": False}, all=True)["updated"] == 2
    assert users.bulk_delete("User", all=True)["deleted"] == 2


@pytest.mark.parametrize("flag", [1, "yes", "false"])
def test_all_must_be_true_itself(users: DataFlow, flag: Any):
    with pytest.raises((UnfilteredWriteError, ParameterError)):
        users.bulk_delete("User", all=flag)

    assert users.count("User") == 2


def test_an_update_that_changes_nothing_is_refused(users: DataFlow):
    for call, *args in (
        (users.update, "User", 1, {}),
        (users.bulk_update, "User", {"id": 1}, {}),
    ):
        with pytest.raises(ParameterError):
            call(*args)


def test_an_unknown_field_of_a_record_is_refused_with_the_nearest(users: DataFlow):
    for call, *args in (
        (users.create, "User", {"name": "x", "email": "e", "emial": 1}),
        (users.update, "User", 1, {"emial": 1}),
    ):
        with pytest.raises(RecordValidationError) as caught:
            call(*args)

        assert str(caught.value) == (
            "values do not fit model 'User':\n"
            "  emial: there is no such field (got 1)\n"
            "  help: for 'emial', did you mean 'email'?\n"
            "  code: DF201"
        )


def test_the_async_face_has_the_same_verbs(url: str):
    asyncio.run(_use_every_verb(url))


async def _use_every_verb(url: str) -> None:
    async with DataFlow(url) as db:

        @db.model(timestamps=False)
        class User:
            id: int
            name: str

        created = await db.aio.create("User", name="Ada")
        await db.aio.bulk_create("User", [{"name": "Bob"}, {"name": "Cyd"}])
        read = await db.aio.read("User", 1)
        updated = await db.aio.update("User", 1, {"name": "Eve"})
        page = await db.aio.list("User", {"id": {"$lt": 3}}, sort="-id")
        count = await db.aio.count("User")
        many = await db.aio.bulk_update("User", {"id": {"$gt": 1}}, {"name": "x"})
        upserted = await db.aio.bulk_upsert("User", [{"id": 1, "name": "y"}])
        deleted = await db.aio.delete("User", 1)
        rest = await db.aio.bulk_delete("User", all=True)

    assert (created, read) == ({"id": 1, "name": "Ada"}, {"id": 1, "name": "Ada"})
    assert updated == {"id": 1, "name": "Eve"}
    assert page["records"] == [{"id": 2, "name": "Bob"}, {"id": 1, "name": "Eve"}]
    assert (count, many["updated"], upserted["updated"], deleted, rest["deleted"]) == (
        3, 2, 1, True, 2,
    )  # fmt: skip


def test_an_unknown_field_in_sort_fields_or_filter_is_refused(users: DataFlow):
    for call in (
        lambda: users.list("User", {"nam": 1}),
        lambda: users.list("User", sort="nam"),
        lambda: users.read("User", 1, fields=["nam"]),
        lambda: users.bulk_delete("User", {"nam": 1}),
    ):
        with pytest.raises(UnknownFieldError) as caught:
            call()

        assert str(caught.value) == (
            "model 'User' has no field 'nam'.\n  help: did you mean 'name'?\n  code: DF108"
        )
