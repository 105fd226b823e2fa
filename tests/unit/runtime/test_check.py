"""`build()` reports every problem of a workflow, together and with its place."""

import itertools
import sys
from typing import Any, TypedDict

import pytest

from dataflow import DataFlow, WorkflowBuilder
from dataflow.errors import DefinitionError, WorkflowDefinitionError


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
        author_id: int

    class Parts(TypedDict):
        head: str
        tail: list[str]

    @memory.node(pure=True)
    def split(text: str) -> Parts:
        head, *tail = text.split()
        return {"head": head, "tail": tail}

    @memory.node(pure=True)
    def double(number: int) -> int:
        return 2 * number

    @memory.node(pure=True)
    def anything(value: Any) -> dict[str, Any]:
        return {"value": value}

    return memory


@pytest.fixture
def builder(shop: DataFlow) -> WorkflowBuilder:
    return WorkflowBuilder("shop", db=shop)


def place_below(lines: int = 1) -> str:
    frame = sys._getframe(1)
    return f"{__file__}:{frame.f_lineno + lines}"


def problems_of(builder: WorkflowBuilder) -> tuple[str, ...]:
    with pytest.raises(WorkflowDefinitionError) as caught:
        builder.build()
    return caught.value.problems


def test_a_workflow_without_nodes_is_refused(builder: WorkflowBuilder):
    assert problems_of(builder) == ("it has no nodes",)


def test_an_unknown_end_is_told_with_the_nearest_node(builder: WorkflowBuilder):
    builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})
    builder.add_node("UserReadNode", "read", {"id": 1})
    place = place_below()
    builder.add_connection("craete_user", "id", "read", "id")

    assert problems_of(builder) == (
        (
            "a connection names node 'craete_user', which does not exist; "
            f"did you mean 'create_user'?\n     at: {place}"
        ),
    )


def test_both_unknown_ends_are_told(builder: WorkflowBuilder):
    builder.add_node("UserListNode", "users")
    place = place_below()
    builder.add_connection("one", "two")

    assert problems_of(builder) == (
        (
            "a connection names node 'one', which does not exist; choose from 'users'"
            f"\n     at: {place}"
        ),
        (
            "a connection names node 'two', which does not exist; choose from 'users'"
            f"\n     at: {place}"
        ),
    )


def test_an_unknown_output_is_told_with_the_nearest(builder: WorkflowBuilder):
    user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})
    place = place_below()
    builder.add_node("UserReadNode", "read", {"id": user["ide"]})

    assert problems_of(builder) == (
        (
            "node 'create_user' (UserCreateNode) has no output 'ide'; did you mean 'id'?"
            f"\n     at: {place}"
        ),
    )


def test_an_unknown_output_inside_a_nested_reference_is_told(builder: WorkflowBuilder):
    user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})
    place = place_below()
    builder.add_node("UserListNode", "users", {"filter": {"id": {"$in": [user["ide"]]}}})

    assert problems_of(builder) == (
        (
            "node 'create_user' (UserCreateNode) has no output 'ide'; did you mean 'id'?"
            f"\n     at: {place}"
        ),
    )


def test_an_unknown_output_of_when_is_told(builder: WorkflowBuilder):
    user = builder.add_node("UserReadNode", "user", {"id": 1})
    place = place_below()
    builder.add_node("UserListNode", "users", when=user["fuond"])

    assert problems_of(builder) == (
        (
            "node 'user' (UserReadNode) has no output 'fuond'; did you mean 'found'?"
            f"\n     at: {place}"
        ),
    )


def test_an_unknown_output_of_a_typed_dict_is_told(builder: WorkflowBuilder):
    parts = builder.add_node("split", "parts", {"text": "a b"})
    place = place_below()
    builder.add_node("anything", "any", {"value": parts["haed"]})

    assert problems_of(builder) == (
        f"node 'parts' (split) has no output 'haed'; did you mean 'head'?\n     at: {place}",
    )


def test_a_function_that_returns_a_value_has_the_output_result_alone(builder: WorkflowBuilder):
    doubled = builder.add_node("double", "doubled", {"number": 1})
    place = place_below()
    builder.add_node("anything", "any", {"value": doubled["number"]})

    assert problems_of(builder) == (
        f"node 'doubled' (double) has no output 'number'; choose from 'result'\n     at: {place}",
    )


def test_an_unknown_way_of_a_switch_is_told(builder: WorkflowBuilder):
    way = builder.add_node("SwitchNode", "way", {"value": True})
    builder.add_node("anything", "any", {"value": way["ture"]})

    (problem,) = problems_of(builder)
    assert "'ture'" in problem
    assert "'true'" in problem


def test_an_unknown_case_of_a_switch_is_told(builder: WorkflowBuilder):
    way = builder.add_node("SwitchNode", "way", {"value": 1, "cases": {"one": 1, "two": 2}})
    builder.add_node("anything", "any", {"value": way["three"]})

    (problem,) = problems_of(builder)
    assert "'three'" in problem


def test_outputs_that_only_a_run_tells_are_accepted(builder: WorkflowBuilder):
    value = builder.add_node("anything", "any", {"value": 1})
    builder.add_node("double", "doubled", {"number": value["whatever"]})

    assert list(builder.build().steps) == ["any", "doubled"]


def test_an_unknown_input_of_a_connection_is_told(builder: WorkflowBuilder):
    builder.add_node("UserCreateNode", "user", {"name": "Ada"})
    builder.add_node("PostCreateNode", "post", {"title": "Hello", "author_id": 1})
    place = place_below()
    builder.connect("user.id", "post.autor_id")

    assert problems_of(builder) == (
        (
            "node 'post' (PostCreateNode): there is no input 'autor_id'; did you mean 'author_id'?"
            f"\n     at: {place}"
        ),
    )


def test_an_input_named_when_is_checked_like_any_other(builder: WorkflowBuilder):
    builder.add_node("UserReadNode", "user", {"id": 1})
    builder.add_node("double", "doubled", {"number": 1})
    place = place_below()
    builder.connect("user.found", "doubled.when")

    assert problems_of(builder) == (
        (
            "node 'doubled' (double): there is no input 'when'; choose from 'number'"
            f"\n     at: {place}"
        ),
    )


def test_a_type_that_cannot_fit_is_told(builder: WorkflowBuilder):
    user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
    place = place_below()
    builder.add_node("double", "doubled", {"number": user["name"]})

    assert problems_of(builder) == (
        f"user.name is str, but doubled.number takes int\n     at: {place}",
    )


@pytest.mark.parametrize("output", ["id", "name", "found"])
def test_types_that_may_fit_are_accepted(builder: WorkflowBuilder, output: str):
    user = builder.add_node("UserReadNode", "user", {"id": 1})
    builder.add_node("anything", "any", {"value": user[output]})

    assert list(builder.build().steps) == ["user", "any"]


def test_a_missing_input_is_told_with_its_type(builder: WorkflowBuilder):
    place = place_below()
    builder.add_node("PostCreateNode", "post", {"title": "Hello"})

    assert problems_of(builder) == (
        (
            "node 'post' (PostCreateNode): input 'author_id' (int) is neither given nor connected"
            f"\n     at: {place}"
        ),
    )


def test_a_read_without_a_key_is_told(builder: WorkflowBuilder):
    place = place_below()
    builder.add_node("UserReadNode", "user")

    assert problems_of(builder) == (
        (
            "node 'user' (UserReadNode): nothing says which record: give id, or a filter"
            f"\n     at: {place}"
        ),
    )


def test_an_update_without_values_is_told(builder: WorkflowBuilder):
    place = place_below()
    builder.add_node("UserUpdateNode", "user", {"id": 1})

    assert problems_of(builder) == (
        (
            "node 'user' (UserUpdateNode): nothing says what to change: give fields"
            f"\n     at: {place}"
        ),
    )


def test_an_input_that_is_not_declared_is_told(builder: WorkflowBuilder):
    place = place_below()
    builder.add_node("double", "doubled", {"number": builder.input("numbr")})

    assert problems_of(builder) == (
        (
            "node 'doubled' uses the workflow input 'numbr', which is not declared; "
            f"add_input('numbr')\n     at: {place}"
        ),
    )


def test_a_declared_input_of_a_type_that_cannot_fit_is_told(builder: WorkflowBuilder):
    builder.add_input("word", str)
    place = place_below()
    builder.add_node("double", "doubled", {"number": builder.input("word")})

    (problem,) = problems_of(builder)
    assert "word" in problem
    assert problem.endswith(f"at: {place}")


def test_a_cycle_is_told_with_its_path(builder: WorkflowBuilder):
    for name in "abcd":
        builder.add_node("anything", name)
    for pair in ("ab", "bc", "cb", "cd"):
        builder.connect(f"{pair[0]}.value", f"{pair[1]}.value")
    builder.connect("d.value", "a.value")

    (problem,) = [text for text in problems_of(builder) if "cycle" in text]
    path = problem.removeprefix("the connections form a cycle: ").split(" → ")
    edges = {"ab", "bc", "cb", "cd", "da"}
    assert path[0] == path[-1]
    assert len(set(path)) == len(path) - 1
    assert {a + b for a, b in itertools.pairwise(path)} <= edges


def test_a_node_that_waits_for_itself_is_a_cycle(builder: WorkflowBuilder):
    builder.add_node("anything", "a", {"value": 1})
    builder.add_connection("a", "a")

    assert problems_of(builder) == ("the connections form a cycle: a → a",)


def test_what_only_hangs_on_a_cycle_is_not_in_its_path(builder: WorkflowBuilder):
    for name in ("before", "a", "b", "after"):
        builder.add_node("anything", name, {"value": 1})
    builder.add_connection("before", "a").add_connection("a", "b")
    builder.add_connection("b", "a").add_connection("b", "after")

    assert problems_of(builder) == ("the connections form a cycle: a → b → a",)


def test_all_problems_are_told_together(builder: WorkflowBuilder):
    user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
    post_at = place_below()
    builder.add_node("PostCreateNode", "post", {"title": user["nam"]})
    double_at = place_below()
    builder.add_node("double", "doubled", {"number": builder.input("numbr")})
    end_at = place_below()
    builder.connect("usr.id", "post.author_id")
    cycle_at = place_below()
    builder.connect("doubled.resul", "user.nmae").add_connection("user", "doubled")

    with pytest.raises(WorkflowDefinitionError) as caught:
        builder.build()

    assert str(caught.value) == (
        "workflow 'shop' has 6 problems:\n"
        "  1. a connection names node 'usr', which does not exist; did you mean 'user'?\n"
        f"     at: {end_at}\n"
        "  2. node 'doubled' uses the workflow input 'numbr', which is not declared; "
        "add_input('numbr')\n"
        f"     at: {double_at}\n"
        "  3. node 'user' (UserCreateNode) has no output 'nam'; did you mean 'name'?\n"
        f"     at: {post_at}\n"
        "  4. node 'doubled' (double) has no output 'resul'; did you mean 'result'?\n"
        f"     at: {cycle_at}\n"
        "  5. node 'post' (PostCreateNode): input 'author_id' (int) is neither given nor "
        "connected\n"
        f"     at: {post_at}\n"
        "  6. the connections form a cycle: user → doubled → user\n"
        "  code: DF104"
    )


class TestConnectedOptions:
    """Inputs that are connected count as given, whatever the others are."""

    def test_the_filter_of_a_bulk_delete_may_be_connected_later(self, builder: WorkflowBuilder):
        builder.add_node("anything", "chosen", {"value": {"name": "Ada"}})
        builder.add_node("UserBulkDeleteNode", "gone")
        builder.connect("chosen.value", "gone.filter")

        assert list(builder.build().steps) == ["chosen", "gone"]

    def test_the_filter_of_a_bulk_update_may_be_connected_later(self, builder: WorkflowBuilder):
        builder.add_node("anything", "chosen", {"value": {"name": "Ada"}})
        builder.add_node("UserBulkUpdateNode", "changed", {"fields": {"name": "Eve"}})
        builder.connect("chosen.value", "changed.filter")

        assert list(builder.build().steps) == ["chosen", "changed"]

    def test_another_input_of_a_bulk_delete_may_be_connected(self, builder: WorkflowBuilder):
        chosen = builder.add_node("anything", "chosen", {"value": True})
        builder.add_node(
            "UserBulkDeleteNode", "gone", {"filter": {"name": "Ada"}, "hard": chosen["value"]}
        )

        assert list(builder.build().steps) == ["chosen", "gone"]

    def test_a_bulk_delete_of_everything_is_refused(self, builder: WorkflowBuilder):
        builder.add_node("anything", "chosen", {"value": True})

        def build() -> None:
            builder.add_node("UserBulkDeleteNode", "gone")
            builder.build()

        with pytest.raises(DefinitionError, match="would change every record"):
            build()
