"""`@node`: functions and classes become node types."""

from collections.abc import Mapping
from typing import Any, TypedDict

import pytest

from dataflow import DataFlow, Node
from dataflow.errors import DuplicateNodeError
from dataflow.nodes.effects import PURE, UNKNOWN, Effects
from dataflow.nodes.function import NodeDecorator, node_type_of
from dataflow.nodes.registry import Registry


@pytest.fixture
def registry() -> Registry:
    registry = Registry("test", database="the database")
    yield registry
    registry.close()


@pytest.fixture
def node(registry: Registry) -> NodeDecorator:
    return NodeDecorator(registry)


class TestFunctions:
    def test_the_same_function_is_returned_and_works_as_before(self, node: NodeDecorator):
        def double(x: int) -> int:
            return 2 * x

        decorated = node(double)

        assert decorated is double
        assert double(4) == 8

    def test_the_function_carries_its_node_type(self, node: NodeDecorator, registry: Registry):
        @node
        def double(x: int) -> int:
            """Twice the number."""
            return 2 * x

        found = node_type_of(double)
        assert found is double.__dataflow__ is registry.get("double")
        assert (found.node_type, found.__doc__, issubclass(found, Node)) == (
            "double", "Twice the number.", True,
        )  # fmt: skip

    def test_the_signature_is_the_schema(self, node: NodeDecorator):
        @node
        def discount(total: float, percent: float = 10, *, note=None) -> float:
            return total

        schema = {
            name: (item.annotation, item.required) for name, item in
            discount.__dataflow__.parameters().items()
        }  # fmt: skip
        assert schema == {"total": (float, True), "percent": (float, False), "note": (Any, False)}
        assert discount.__dataflow__.outputs() == {"result": float}

    def test_a_typed_dict_names_the_outputs(self, node: NodeDecorator):
        class Parts(TypedDict):
            head: str
            tail: list[str]

        @node
        def split(text: str) -> Parts:
            return {"head": text, "tail": []}

        assert split.__dataflow__.outputs() == {"head": str, "tail": list[str]}

    @pytest.mark.parametrize("returns", [dict, dict[str, Any], Mapping[str, int], Any])
    def test_other_dicts_have_outputs_that_only_a_run_tells(
        self, node: NodeDecorator, returns: Any
    ):
        def work():
            return {}

        work.__annotations__["return"] = returns
        node(work)

        assert work.__dataflow__.outputs() is None

    def test_a_dict_or_nothing_has_outputs_that_only_a_run_tells(self, node: NodeDecorator):
        @node
        def find(key: str) -> dict[str, int] | None:
            return None

        assert find.__dataflow__.outputs() is None

    def test_effects_are_unknown_unless_declared(self, node: NodeDecorator):
        @node
        def work() -> int:
            return 1

        assert work.__dataflow__.effects == UNKNOWN

    def test_a_pure_function_has_no_effects(self, node: NodeDecorator):
        @node(pure=True)
        def work() -> int:
            return 1

        assert work.__dataflow__.effects == PURE

    def test_reads_and_writes_are_kept_with_the_database(self, node: NodeDecorator):
        @node(reads=["users"], writes=["mail"])
        def work() -> int:
            return 1

        assert work.__dataflow__.effects == Effects(
            frozenset({("the database", "users")}), frozenset({("the database", "mail")})
        )

    def test_a_model_among_the_reads_means_its_table(self, memory: DataFlow):
        @memory.model
        class User:
            id: int

        @memory.node(reads=[User])
        def work() -> int:
            return 1

        assert work.__dataflow__.effects == Effects(frozenset({(memory.database, "users")}))

    def test_pure_and_writes_together_are_refused(self, node: NodeDecorator):
        with pytest.raises(Exception, match="pure"):

            @node(pure=True, writes=["mail"])
            def work() -> int:
                return 1

    def test_a_name_may_be_given(self, node: NodeDecorator, registry: Registry):
        @node(name="cheaper")
        def discount() -> int:
            return 1

        assert registry.names() == ("cheaper",)

    def test_a_name_that_is_taken_is_refused_with_both_places(self, node: NodeDecorator):
        @node(name="work")
        def one() -> int:
            return 1

        with pytest.raises(DuplicateNodeError) as caught:

            @node(name="work")
            def other() -> int:
                return 2

        first = one.__code__.co_firstlineno
        assert str(caught.value).startswith(
            f"node type 'work' exists already, at {__file__}:{first}"
        )
        assert caught.value.at == f"{__file__}:{first + 6}"

    def test_a_function_that_cannot_be_called_by_names_is_refused(self, node: NodeDecorator):
        with pytest.raises(Exception, match="x"):

            @node
            def work(x, /) -> int:
                return x


class TestClasses:
    def test_a_class_is_registered_under_its_name(self, node: NodeDecorator, registry: Registry):
        @node
        class Enrich(Node):
            async def run(self, *, record: dict, limit: int = 80) -> dict[str, Any]:
                return record

        assert registry.get("Enrich") is Enrich
        assert {name: p.required for name, p in Enrich.parameters().items()} == {
            "record": True,
            "limit": False,
        }

    def test_options_of_the_decorator_hold_for_classes_too(
        self, node: NodeDecorator, registry: Registry
    ):
        @node(name="enrich", reads=["users"], blocking=False)
        class Enrich(Node):
            def run(self, *, record: dict) -> dict[str, Any]:
                return record

        found = registry.get("enrich")
        assert found.effects == Effects(frozenset({("the database", "users")}))
        assert found.blocking is False

    def test_a_subclass_without_run_keeps_its_parents_schema(self, node: NodeDecorator):
        class Parent(Node):
            def run(self, *, a: int) -> int:
                return a

        class Child(Parent):
            pass

        assert (list(Child.parameters()), Child.node_type) == (["a"], "Child")

    def test_a_class_describes_itself(self, node: NodeDecorator):
        class Enrich(Node):
            """Add a name.

            More text.
            """

            def run(self, *, record: dict, limit: int = 80) -> int:
                return limit

        assert Enrich.describe() == (
            "Enrich\n  Add a name.\n  needs: record\n  accepts: limit=80\n  returns: result: int"
        )

    def test_a_class_without_a_docstring_shows_no_other_classes_docstring(self):
        class Bare(Node):
            def run(self) -> int:
                return 1

        assert Bare.describe() == (
            "Bare\n  needs: nothing\n  accepts: nothing else\n  returns: result: int"
        )

    def test_the_inputs_have_a_json_schema(self):
        class Enrich(Node):
            def run(self, *, text: str, limit: int = 80) -> int:
                return limit

        assert Enrich.json_schema() == {
            "title": "Enrich",
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "limit": {"type": "integer", "default": 80},
            },
            "required": ["text"],
            "additionalProperties": False,
        }

    def test_any_name_is_accepted_where_run_takes_any(self):
        class Open(Node):
            def run(self, **inputs: Any) -> int:
                return len(inputs)

        assert Open.check_inputs({"a": 1}, ["b"]) == []
        assert Open.json_schema()["additionalProperties"] is True
