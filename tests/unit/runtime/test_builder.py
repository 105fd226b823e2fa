"""What `WorkflowBuilder` takes, and what it refuses at once."""

import sys
from typing import Any

import pytest

from dataflow import DataFlow, Node, Retry, WorkflowBuilder
from dataflow.errors import (
    AmbiguousNodeError,
    DuplicateNodeError,
    ParameterError,
    UnknownNodeError,
)
from dataflow.runtime.references import InputReference, NodeHandle, Reference
from dataflow.runtime.workflow import Connection


@pytest.fixture
def shop(memory: DataFlow) -> DataFlow:
    @memory.model
    class User:
        id: int
        name: str
        age: int = 0

    @memory.model
    class Post:
        id: int
        title: str
        author_id: int
        tags: list[str] | None = None

    @memory.node(pure=True)
    def discount(total: float, percent: float = 10) -> float:
        return total * (1 - percent / 100)

    return memory


@pytest.fixture
def builder(shop: DataFlow) -> WorkflowBuilder:
    return WorkflowBuilder("shop", db=shop)


def place_below(lines: int = 1) -> str:
    frame = sys._getframe(1)
    return f"{__file__}:{frame.f_lineno + lines}"


class TestNodes:
    def test_a_handle_is_the_id_and_gives_references(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})

        assert user == "create_user"
        assert isinstance(user, NodeHandle)
        assert user["id"] == Reference("create_user", "id")
        assert user.output("id") == Reference("create_user", "id")
        assert user.output() == Reference("create_user", "result")
        assert (user[0], user[:6]) == ("c", "create")

    def test_without_an_id_the_type_is_numbered(self, builder: WorkflowBuilder):
        ids = [builder.add_node("UserCreateNode", None, {"name": name}) for name in "ab"]

        assert ids == ["UserCreateNode_1", "UserCreateNode_2"]

    def test_a_number_that_is_taken_is_left_out(self, builder: WorkflowBuilder):
        builder.add_node("UserCreateNode", "UserCreateNode_1", {"name": "Ada"})

        assert builder.add_node("UserCreateNode", None, {"name": "Eve"}) == "UserCreateNode_2"

    def test_a_type_may_be_a_name_a_class_or_a_decorated_function(self, shop: DataFlow):
        @shop.node
        def double(x: int) -> int:
            return 2 * x

        class Halve(Node):
            async def run(self, *, x: int) -> int:
                return x // 2

        builder = WorkflowBuilder(db=shop)
        builder.add_node("double", "by_name", {"x": 1})
        builder.add_node(double, "by_function", {"x": 1})
        builder.add_node(Halve, "by_class", {"x": 1})
        builder.add_node(shop.nodes.UserListNode, "by_model_class")

        types = {step.id: step.node_type.node_type for step in builder.build().steps.values()}
        assert types == {
            "by_name": "double",
            "by_function": "double",
            "by_class": "Halve",
            "by_model_class": "UserListNode",
        }

    def test_an_unknown_type_is_refused_with_the_nearest_name(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(UnknownNodeError) as caught:
            builder.add_node("UserCraeteNode", "create_user", {"name": "Ada"})

        text = str(caught.value)
        assert text.splitlines()[0] == "there is no node type 'UserCraeteNode'."
        assert place in text.splitlines()[1]
        assert "did you mean 'UserCreateNode'?" in text
        assert text.splitlines()[-1] == "  code: DF101"

    def test_the_place_of_an_unknown_type_names_the_node(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(UnknownNodeError) as caught:
            builder.add_node("UserCraeteNode", "create_user", {"name": "Ada"})

        assert caught.value.at == f"{place}, node 'create_user'"

    def test_what_is_no_type_is_refused(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node(42, "answer")

        assert str(caught.value) == (
            "42 is not a node type.\n"
            f"  at: {place}\n"
            "  help: give a name, a Node class, or a function decorated with @node\n"
            "  code: DF103"
        )

    def test_an_id_that_is_taken_is_refused_with_both_places(self, builder: WorkflowBuilder):
        first = place_below()
        builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})
        second = place_below(2)
        with pytest.raises(DuplicateNodeError) as caught:
            builder.add_node("UserCreateNode", "create_user", {"name": "Eve"})

        assert str(caught.value) == (
            f"node 'create_user' exists already, at {first}.\n"
            f"  at: {second}\n"
            "  help: give one of them another name\n"
            "  code: DF116"
        )

    @pytest.mark.parametrize("node_id", ["", "a.b", 7])
    def test_an_id_is_a_text_without_dots(self, builder: WorkflowBuilder, node_id: object):
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserListNode", node_id)

        assert caught.value.problem == f"a node id must be a text without dots, not {node_id!r}."

    def test_a_name_in_two_live_dataflows_is_ambiguous_and_the_error_tells_the_fix(
        self, shop: DataFlow
    ):
        other = DataFlow("sqlite:///:memory:")

        @other.model
        class User:
            id: int
            name: str

        place = place_below(2)
        with pytest.raises(AmbiguousNodeError) as caught:
            WorkflowBuilder().add_node("UserCreateNode", "create_user", {"name": "Ada"})
        other.close()

        assert str(caught.value).replace(", node 'create_user'", "") == (
            "node type 'UserCreateNode' exists in 2 DataFlow objects.\n"
            f"  at: {place}\n"
            "  help: say which: WorkflowBuilder(db=db), or "
            "add_node(db.nodes.UserCreateNode, …)\n"
            "  code: DF102"
        )

    def test_both_fixes_of_an_ambiguous_name_work(self, shop: DataFlow):
        other = DataFlow("sqlite:///:memory:")

        @other.model
        class User:
            id: int
            name: str

        by_builder = WorkflowBuilder(db=other)
        by_builder.add_node("UserListNode", "users")
        by_class = WorkflowBuilder()
        by_class.add_node(other.nodes.UserListNode, "users")
        other.close()

        found = [b.build().steps["users"].node_type for b in (by_builder, by_class)]
        assert found == [other.nodes.UserListNode] * 2

    def test_a_closed_dataflow_no_longer_makes_a_name_ambiguous(self, shop: DataFlow):
        other = DataFlow("sqlite:///:memory:")

        @other.model
        class User:
            id: int
            name: str

        other.close()
        builder = WorkflowBuilder()
        builder.add_node("UserListNode", "users")

        assert builder.build().steps["users"].node_type is shop.nodes.UserListNode

    def test_a_forgotten_dataflow_no_longer_makes_a_name_ambiguous(self, shop: DataFlow):
        def forget() -> None:
            other = DataFlow("sqlite:///:memory:")

            @other.model
            class User:
                id: int
                name: str

        forget()
        builder = WorkflowBuilder()
        builder.add_node("UserListNode", "users")

        assert builder.build().steps["users"].node_type is shop.nodes.UserListNode

    def test_nodes_of_another_dataflow_stay_apart(self, shop: DataFlow):
        other = DataFlow("sqlite:///:memory:")
        with pytest.raises(UnknownNodeError):
            WorkflowBuilder(db=other).add_node("UserListNode", "users")
        other.close()


class TestHandlesAsValues:
    def test_a_handle_as_a_value_is_refused_with_the_reference_to_write(
        self, builder: WorkflowBuilder
    ):
        user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"})
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("PostCreateNode", "post", {"title": "Hello", "author_id": user})

        assert str(caught.value) == (
            "PostCreateNode: input 'author_id' is node 'create_user' itself, "
            "not one of its outputs.\n"
            f"  at: {place}, node 'post'\n"
            "  help: write create_user[\"id\"]; its outputs are 'id', 'name', 'age', "
            "'created_at', 'updated_at'\n"
            "  code: DF103"
        )

    @pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"$in": (1, v)}])
    def test_a_handle_inside_a_value_is_refused(self, builder: WorkflowBuilder, wrap: Any):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})

        with pytest.raises(ParameterError) as caught:
            builder.add_node("PostListNode", "posts", {"filter": {"author_id": wrap(user)}})

        assert caught.value.problem.endswith(
            "input 'filter' is node 'user' itself, not one of its outputs."
        )

    def test_the_output_of_the_inputs_name_is_proposed_first(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})

        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserCreateNode", "twin", {"name": user})

        assert (caught.value.advice() or "").startswith('write user["name"]; its outputs are ')

    def test_of_a_node_with_one_output_that_is_proposed(self, builder: WorkflowBuilder):
        price = builder.add_node("discount", "price", {"total": 5})

        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "again", {"total": price})

        assert caught.value.advice() == 'write price["result"]'

    def test_of_a_node_whose_outputs_only_a_run_tells_none_is_proposed(
        self, builder: WorkflowBuilder
    ):
        class Free(Node):
            async def run(self) -> dict[str, Any]:
                return {}

        free = builder.add_node(Free, "free")

        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "price", {"total": free})

        assert caught.value.advice() == 'write free["<output>"]'

    def test_the_name_of_a_node_may_be_a_value_as_text(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        builder.add_node("UserCreateNode", "twin", {"name": str(user)})

        assert builder.build().steps["twin"].inputs == {"name": "user"}


class TestInputs:
    def test_an_unknown_input_is_refused_at_the_callers_line(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserCreateNode", "create_user", {"nmae": "Ada"})

        assert str(caught.value) == (
            "UserCreateNode: there is no input 'nmae'; did you mean 'name'?\n"
            f"  at: {place}, node 'create_user'\n"
            "  code: DF103"
        )

    def test_an_unknown_input_of_a_function_is_refused(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "cheaper", {"total": 1.0, "percnt": 5})

        assert str(caught.value) == (
            "discount: there is no input 'percnt'; did you mean 'percent'?\n"
            f"  at: {place}, node 'cheaper'\n"
            "  code: DF103"
        )

    def test_a_wrong_value_is_refused_with_the_value(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "cheaper", {"total": "much"})

        assert str(caught.value) == (
            "discount: input 'total' must be float: Input should be a valid number, "
            "unable to parse string as a number (got 'much')\n"
            f"  at: {place}, node 'cheaper'\n"
            "  code: DF103"
        )

    def test_all_wrong_inputs_of_a_node_are_told_together(self, builder: WorkflowBuilder):
        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "cheaper", {"total": "much", "percnt": 5})

        text = str(caught.value)
        assert ("'total' must be float" in text, "no input 'percnt'" in text) == (True, True)

    def test_a_wrong_value_of_a_field_is_refused(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserCreateNode", "create_user", {"name": "Ada", "age": "old"})

        assert caught.value.at == f"{place}, node 'create_user'"
        assert "age" in caught.value.problem
        assert "'old'" in caught.value.problem

    def test_an_unknown_field_of_a_filter_is_refused(self, builder: WorkflowBuilder):
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserListNode", "users", {"filter": {"agee": {"$gt": 3}}})

        assert "'agee'" in caught.value.problem
        assert "'age'" in caught.value.problem

    def test_an_unknown_operator_of_a_filter_is_refused(self, builder: WorkflowBuilder):
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserListNode", "users", {"filter": {"age": {"$gtt": 3}}})

        assert "'$gtt'" in caught.value.problem
        assert "'$gt'" in caught.value.problem

    @pytest.mark.parametrize("inputs", ["name", ["name"], {1: "Ada"}])
    def test_inputs_are_a_dict_with_names(self, builder: WorkflowBuilder, inputs: object):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("UserCreateNode", "create_user", inputs)

        assert str(caught.value) == (
            f"inputs must be a dict with names as keys, not {inputs!r}.\n"
            f"  at: {place}, node 'create_user'\n"
            "  code: DF103"
        )

    def test_an_input_that_contains_itself_is_refused(self, builder: WorkflowBuilder):
        tags: list[Any] = []
        tags.append(tags)
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("PostCreateNode", "post", {"tags": tags})

        assert str(caught.value) == (
            "input 'tags' contains itself, or is nested too deep.\n"
            f"  at: {place}, node 'post'\n"
            "  code: DF103"
        )

    def test_inputs_that_the_caller_changes_later_do_not_change_the_node(
        self, builder: WorkflowBuilder
    ):
        tags = ["new"]
        inputs = {"title": "Hello", "author_id": 1, "tags": tags}
        builder.add_node("PostCreateNode", "post", inputs)
        inputs["title"] = "Changed"
        tags.append("changed")

        assert builder.build().steps["post"].inputs == {
            "title": "Hello",
            "author_id": 1,
            "tags": ["new"],
        }


class TestOptions:
    def test_options_are_kept(self, builder: WorkflowBuilder):
        user = builder.add_node("UserReadNode", "user", {"id": 1})
        retry = Retry(attempts=3)
        builder.add_node(
            "discount", "cheaper", {"total": 1},
            retry=retry, timeout_s=5, on_error="continue", when=user["found"],
        )  # fmt: skip

        step = builder.build().steps["cheaper"]
        assert (step.retry, step.timeout_s, step.on_error, step.when) == (
            retry, 5, "continue", Reference("user", "found"),
        )  # fmt: skip

    def test_a_number_of_attempts_is_a_retry(self, builder: WorkflowBuilder):
        builder.add_node("discount", "cheaper", {"total": 1}, retry=4)

        assert builder.build().steps["cheaper"].retry == Retry(attempts=4)

    def test_an_unknown_option_is_refused_with_the_nearest(self, builder: WorkflowBuilder):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "cheaper", {"total": 1}, timeout=5)

        assert str(caught.value) == (
            "add_node() has no option 'timeout'.\n"
            f"  at: {place}, node 'cheaper'\n"
            "  help: did you mean 'timeout_s'?\n"
            "  code: DF103"
        )

    @pytest.mark.parametrize(
        "options",
        [
            {"on_error": "ignore"},
            {"when": True},
            {"timeout_s": 0},
            {"timeout_s": -1},
            {"timeout_s": "5"},
            {"retry": "3"},
            {"retry": 0},
            {"retry": True},
        ],
        ids=str,
    )
    def test_a_wrong_value_of_an_option_is_refused_at_the_callers_line(
        self, builder: WorkflowBuilder, options: dict
    ):
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            builder.add_node("discount", "cheaper", {"total": 1}, **options)

        assert caught.value.at == f"{place}, node 'cheaper'"


class TestConnections:
    @pytest.fixture
    def pair(self, builder: WorkflowBuilder) -> WorkflowBuilder:
        builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        builder.add_node("PostCreateNode", "post", {"title": "Hello"})
        return builder

    def test_a_reference_makes_the_connection(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        builder.add_node("PostCreateNode", "post", {"title": "Hello", "author_id": user["id"]})

        assert builder.build().connections == (Connection("user", "post", "id", "author_id"),)

    def test_four_words_spell_a_connection_out(self, pair: WorkflowBuilder):
        pair.add_connection("user", "id", "post", "author_id")

        assert pair.build().connections == (Connection("user", "post", "id", "author_id"),)

    def test_a_short_connection_is_the_same(self, pair: WorkflowBuilder):
        pair.connect("user.id", "post.author_id")

        assert pair.build().connections == (Connection("user", "post", "id", "author_id"),)

    def test_three_words_use_one_name_for_both_ends(self, pair: WorkflowBuilder):
        pair.add_connection("user", "name", "post", "title")
        pair.add_node("UserReadNode", "again")
        pair.add_connection("user", "id", "again").add_connection("user", "id", "post", "author_id")

        assert Connection("user", "again", "id", "id") in pair.build().connections

    def test_two_words_keep_the_order_alone(self, pair: WorkflowBuilder):
        pair.add_connection("user", "id", "post", "author_id")
        pair.add_node("UserListNode", "users")
        pair.add_connection("post", "users")

        assert pair.build().connections[-1] == Connection("post", "users", None, None)

    def test_handles_work_where_ids_do(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        post = builder.add_node("PostCreateNode", "post", {"title": "Hello"})
        builder.add_connection(user, "id", post, "author_id").add_connection(user, post)

        assert builder.build().connections == (
            Connection("user", "post", "id", "author_id"),
            Connection("user", "post"),
        )

    def test_a_connection_may_come_before_its_nodes(self, builder: WorkflowBuilder):
        builder.connect("user.id", "post.author_id")
        builder.add_node("PostCreateNode", "post", {"title": "Hello"})
        builder.add_node("UserCreateNode", "user", {"name": "Ada"})

        assert list(builder.build().steps) == ["user", "post"]

    def test_the_same_connection_twice_is_one(self, pair: WorkflowBuilder):
        pair.connect("user.id", "post.author_id").connect("user.id", "post.author_id")

        assert pair.build().connections == (Connection("user", "post", "id", "author_id"),)

    def test_a_reference_may_be_deep_inside_dicts_and_lists(self, builder: WorkflowBuilder):
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        builder.add_node(
            "UserListNode", "users", {"filter": {"$or": [{"id": {"$in": [user["id"], 7]}}]}}
        )

        assert builder.build().connections == (Connection("user", "users", "id", "filter"),)

    @pytest.mark.parametrize(
        "ends", [("user", "id", "post", ["x"]), ("user", ["id"], "post"), (5, "post")], ids=str
    )
    def test_a_connection_of_anything_but_texts_is_refused(self, pair: WorkflowBuilder, ends: Any):
        with pytest.raises(ParameterError, match=r"made of texts, not (\[|5)") as caught:
            pair.add_connection(*ends)

        assert str(caught.value.at).startswith(__file__)

    @pytest.mark.parametrize(
        ("source", "target"), [("user", "post.x"), ("user.id", "post."), (5, "post.x")]
    )
    def test_a_short_connection_needs_two_names_with_dots(
        self, pair: WorkflowBuilder, source: Any, target: str
    ):
        wrong = source if "." not in str(source) else target
        place = place_below(2)
        with pytest.raises(ParameterError) as caught:
            pair.connect(source, target)

        assert str(caught.value) == (
            f"{wrong!r} is not 'node.name'.\n"
            f"  at: {place}\n"
            "  help: for example connect('create_user.id', 'first_post.author_id')\n"
            "  code: DF103"
        )


class TestWorkflowInputs:
    def test_an_input_of_the_workflow_is_a_reference(self, builder: WorkflowBuilder):
        percent = builder.add_input("percent", float, default=10)

        assert percent == InputReference("percent") == builder.input("percent")

    def test_an_input_keeps_type_and_default(self, builder: WorkflowBuilder):
        builder.add_input("percent", float, default=10)
        builder.add_input("total", float)
        builder.add_node(
            "discount", "c", {"total": builder.input("total"), "percent": builder.input("percent")}
        )

        inputs = builder.build().inputs
        found = {name: (item.annotation, item.required) for name, item in inputs.items()}
        assert found == {"percent": (float, False), "total": (float, True)}
        assert inputs["percent"].default == 10

    def test_an_input_declared_twice_is_refused(self, builder: WorkflowBuilder):
        builder.add_input("percent", float)

        with pytest.raises((DuplicateNodeError, ParameterError)):
            builder.add_input("percent", int)

    def test_an_input_without_a_name_is_refused(self, builder: WorkflowBuilder):
        with pytest.raises(ParameterError, match=r"is a text, not \['percent'\]"):
            builder.add_input(["percent"], float)  # type: ignore[arg-type]  # refused

    def test_a_default_of_the_wrong_type_is_refused(self, builder: WorkflowBuilder):
        with pytest.raises(ParameterError):
            builder.add_input("percent", float, default="ten")


def test_what_is_no_dataflow_is_refused_at_the_callers_line():
    place = place_below(2)
    with pytest.raises(ParameterError) as caught:
        WorkflowBuilder(db=5)  # type: ignore[arg-type]  # refused

    assert str(caught.value) == f"db must be a DataFlow, not 5.\n  at: {place}\n  code: DF103"
