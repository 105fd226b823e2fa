"""The nine nodes of a model as node types: inputs, outputs, effects."""

import pytest

from dataflow import DataFlow, Field, Relationship
from dataflow.nodes.effects import Effects


@pytest.fixture
def shop(memory: DataFlow) -> DataFlow:
    @memory.model
    class User:
        id: int
        name: str

    @memory.model
    class Post:
        id: int
        title: str
        author_id: int = Field(foreign_key="users.id")
        author: User = Relationship()

    return memory


def test_a_model_has_nine_nodes(shop: DataFlow):
    assert list(shop.get_generated_nodes("User")) == [
        "UserCreateNode", "UserReadNode", "UserUpdateNode", "UserDeleteNode", "UserListNode",
        "UserBulkCreateNode", "UserBulkUpdateNode", "UserBulkDeleteNode", "UserBulkUpsertNode",
    ]  # fmt: skip


def test_a_write_writes_its_table_and_reads_what_it_refers_to(shop: DataFlow):
    effects = shop.nodes.PostCreateNode.effects

    table = (shop.database, "posts")
    assert table in effects.writes
    assert (shop.database, "users") in effects.reads
    assert (shop.database, "users") not in effects.writes


@pytest.mark.parametrize("verb", ["Read", "List"])
def test_a_read_writes_nothing(shop: DataFlow, verb: str):
    effects: Effects = getattr(shop.nodes, f"Post{verb}Node").effects

    assert effects.writes == frozenset()
    assert (shop.database, "posts") in effects.reads


def test_a_create_needs_what_has_no_default_and_returns_the_record(shop: DataFlow):
    node = shop.nodes.UserCreateNode

    assert [name for name, p in node.parameters().items() if p.required] == ["name"]
    assert list(node.outputs()) == ["id", "name", "created_at", "updated_at"]
    assert node.describe().splitlines()[2] == "  needs: name"


@pytest.mark.parametrize("verb", ["Read", "Update", "Delete"])
@pytest.mark.parametrize("spelling", ["id", "record_id"])
def test_the_key_has_two_spellings(shop: DataFlow, verb: str, spelling: str):
    node = getattr(shop.nodes, f"User{verb}Node")

    assert node.check_inputs({spelling: 1}, ()) == []


@pytest.mark.parametrize("verb", ["Read", "Update", "Delete", "List", "BulkUpdate", "BulkDelete"])
@pytest.mark.parametrize("spelling", ["filter", "conditions", "where"])
def test_a_filter_has_three_spellings(shop: DataFlow, verb: str, spelling: str):
    node = getattr(shop.nodes, f"User{verb}Node")

    assert node.check_inputs({spelling: {"name": "Ada"}}, ()) == []


def test_one_thing_in_two_spellings_is_refused(shop: DataFlow):
    problems = shop.nodes.UserListNode.check_inputs({"filter": {}, "where": {}}, ())

    assert problems == ["input 'filter' is given twice, once as 'where'."]


def test_the_same_problem_is_told_without_doubling_the_name_of_the_node(shop: DataFlow):
    problems = shop.nodes.UserReadNode.check_inputs({"nam": 1}, ())

    assert problems == [("there is no input 'nam'; choose from 'conditions', 'fields', 'filter', "
                        "'id', 'include', 'include_deleted', 'raise_on_not_found', 'record_id', "
                        "'where'")]  # fmt: skip
