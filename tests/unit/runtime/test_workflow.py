"""`Workflow`: frozen, and shown as a graph, as JSON and as a picture."""

import dataclasses
import gc
import json
import weakref
from datetime import UTC, datetime

import networkx as nx
import pytest

from dataflow import DataFlow, Retry, Workflow, WorkflowBuilder
from dataflow.errors import ParameterError, UnknownNodeError, WorkflowDefinitionError
from dataflow.runtime.local import LocalRuntime


@pytest.fixture
def shop(memory: DataFlow) -> DataFlow:
    @memory.model
    class User:
        id: int
        name: str

    @memory.node(pure=True)
    def discount(total: float, percent: float = 10) -> float:
        return total * (1 - percent / 100)

    return memory


@pytest.fixture
def builder(shop: DataFlow) -> WorkflowBuilder:
    builder = WorkflowBuilder("onboarding", db=shop)
    percent = builder.add_input("percent", float, default=10)
    builder.add_input("total", float)
    user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"}, retry=2)
    builder.add_node("UserListNode", "users", {"filter": {"name": {"$in": [user["name"], "Eve"]}}})
    builder.add_node(
        "discount", "cheaper", {"total": builder.input("total"), "percent": percent},
        retry=Retry(attempts=3, delay_s=0), timeout_s=5, on_error="continue", when=user["id"],
    )  # fmt: skip
    builder.add_node("UserListNode", "all")
    builder.add_connection("users", "cheaper")
    return builder


@pytest.fixture
def workflow(builder: WorkflowBuilder) -> Workflow:
    return builder.build()


class TestFrozen:
    def test_attributes_cannot_be_set(self, workflow: Workflow):
        with pytest.raises(dataclasses.FrozenInstanceError):
            workflow.name = "other"

    def test_steps_cannot_be_added(self, workflow: Workflow):
        with pytest.raises(TypeError):
            workflow.steps["more"] = workflow.steps["all"]

    def test_inputs_of_a_step_cannot_be_changed(self, workflow: Workflow):
        with pytest.raises(TypeError):
            workflow.steps["create_user"].inputs["name"] = "Eve"

    def test_inputs_of_the_workflow_cannot_be_changed(self, workflow: Workflow):
        with pytest.raises(TypeError):
            workflow.inputs["more"] = workflow.inputs["total"]

    def test_a_builder_that_goes_on_does_not_change_it(
        self, builder: WorkflowBuilder, workflow: Workflow
    ):
        before = workflow.to_dict()
        builder.add_node("UserListNode", "more")
        builder.add_connection("all", "more")
        builder.add_input("more", int, default=1)

        assert workflow.to_dict() == before

    def test_a_workflow_equals_itself_alone(self, builder: WorkflowBuilder):
        one, other = builder.build(), builder.build()

        assert len({one, other, one}) == 2
        assert repr(one) == "Workflow('onboarding', 4 steps)"

    def test_a_workflow_that_ran_is_forgotten_with_its_last_user(self, shop: DataFlow):
        runtime = LocalRuntime()
        builder = WorkflowBuilder(db=shop)
        builder.add_node("SwitchNode", "way", {"value": 1})
        workflow = builder.build()
        runtime.execute(workflow)
        watched = weakref.ref(workflow)
        del workflow, builder
        gc.collect()

        assert watched() is None


class TestGraph:
    def test_the_graph_is_a_plain_digraph_with_kinds(self, workflow: Workflow):
        graph = workflow.graph

        assert type(graph) is nx.DiGraph
        assert graph.name == "onboarding"
        assert dict(graph.nodes(data="node_type")) == {
            "create_user": "UserCreateNode",
            "users": "UserListNode",
            "cheaper": "discount",
            "all": "UserListNode",
        }
        assert {(a, b): d for a, b, d in graph.edges(data=True)} == {
            ("create_user", "users"): {"kind": "data", "connections": [("name", "filter")]},
            ("create_user", "cheaper"): {"kind": "data", "connections": [("id", "when")]},
            ("users", "cheaper"): {"kind": "order", "connections": []},
            ("create_user", "all"): {"kind": "hazard", "connections": []},
        }

    def test_several_connections_of_two_nodes_are_one_edge(self, shop: DataFlow):
        builder = WorkflowBuilder(db=shop)
        first = builder.add_node("discount", "first", {"total": 1})
        builder.add_node(
            "discount", "second", {"total": first["result"], "percent": first["result"]}
        )
        builder.add_connection("first", "second")

        assert builder.build().graph.edges["first", "second"] == {
            "kind": "data",
            "connections": [("result", "total"), ("result", "percent")],
        }

    def test_steps_stand_in_an_order_in_which_they_may_run(self, workflow: Workflow):
        order = list(workflow.steps)

        wrong = [(a, b) for a, b in workflow.graph.edges if order.index(a) > order.index(b)]
        assert wrong == []


class TestDict:
    def test_a_workflow_is_described_by_plain_values(self, workflow: Workflow):
        described = workflow.to_dict()

        assert described["steps"][0] == {
            "id": "create_user",
            "type": "UserCreateNode",
            "inputs": {"name": "Ada"},
            "retry": {
                "attempts": 2, "delay_s": 0.1, "factor": 2.0, "max_delay_s": 30.0, "jitter": 0.1,
            },
        }  # fmt: skip
        assert described["steps"][1]["inputs"] == {
            "filter": {"name": {"$in": [{"$ref": ["create_user", "name"]}, "Eve"]}}
        }
        assert described["connections"][-1] == {
            "source": "users", "output": None, "target": "cheaper", "input": None,
        }  # fmt: skip

    @pytest.mark.parametrize("through", ["dict", "json"])
    def test_a_round_trip_gives_the_same_workflow(
        self, shop: DataFlow, workflow: Workflow, through: str
    ):
        described = workflow.to_dict() if through == "dict" else json.loads(workflow.to_json())

        again = WorkflowBuilder.from_dict(described, db=shop).build()

        assert again.to_dict() == workflow.to_dict()
        assert again.hazards == workflow.hazards
        assert again.connections == workflow.connections
        assert nx.utils.graphs_equal(again.graph, workflow.graph)
        kept = [(s.id, s.inputs, s.retry, s.timeout_s, s.on_error, s.when)
                for s in workflow.steps.values()]  # fmt: skip
        assert [
            (s.id, s.inputs, s.retry, s.timeout_s, s.on_error, s.when) for s in again.steps.values()
        ] == kept

    def test_the_type_of_an_input_survives_the_round_trip(self, shop: DataFlow, workflow: Workflow):
        again = WorkflowBuilder.from_dict(json.loads(workflow.to_json()), db=shop).build()

        with pytest.raises(ParameterError):
            LocalRuntime().execute(again, inputs={"total": "much"})

    def test_what_a_retry_is_for_survives_the_round_trip_or_is_refused(self, shop: DataFlow):
        builder = WorkflowBuilder(db=shop)
        retry = Retry(on=(ConnectionError,))
        builder.add_node("discount", "cheaper", {"total": 1.0}, retry=retry)

        try:
            described = builder.build().to_dict()
        except WorkflowDefinitionError:
            return

        again = WorkflowBuilder.from_dict(described, db=shop).build()
        assert again.steps["cheaper"].retry == retry

    def test_a_value_that_looks_like_a_reference_stays_a_value(self, shop: DataFlow):
        @shop.node(pure=True)
        def keep(schema: dict) -> dict:
            return schema

        literal = {"$ref": ["#", "name"]}
        builder = WorkflowBuilder(db=shop)
        builder.add_node("keep", "kept", {"schema": literal})

        again = WorkflowBuilder.from_dict(builder.build().to_dict(), db=shop).build()

        assert again.steps["kept"].inputs == {"schema": literal}

    def test_a_value_that_json_cannot_carry_is_refused_with_its_place(self, shop: DataFlow):
        @shop.node(pure=True)
        def keep(value: object) -> object:
            return value

        builder = WorkflowBuilder("odd", db=shop)
        builder.add_node("keep", "kept", {"value": object()})

        with pytest.raises(WorkflowDefinitionError) as caught:
            builder.build().to_dict()

        assert str(caught.value).startswith(
            "workflow 'odd' has 1 problem:\n  1. kept.value cannot be written as JSON: "
        )

    def test_a_time_survives_the_round_trip_in_a_filter(self, shop: DataFlow):
        builder = WorkflowBuilder(db=shop)
        moment = datetime(2026, 1, 2, tzinfo=UTC)
        builder.add_node("UserListNode", "users", {"filter": {"created_at": {"$gt": moment}}})
        described = json.loads(builder.build().to_json())

        again = WorkflowBuilder.from_dict(described, db=shop).build()

        assert again.to_dict() == described

    @pytest.mark.parametrize(
        "data",
        [{}, {"steps": [{}]}, {"steps": 7}, {"steps": [{"id": "a", "type": "UserListNode"}]}, []],
        ids=str,
    )
    def test_what_is_no_description_is_refused(self, shop: DataFlow, data: object):
        with pytest.raises(ParameterError, match="this is not a described workflow"):
            WorkflowBuilder.from_dict(data, db=shop)

    def test_an_unknown_type_in_a_description_is_told_with_its_step(self, shop: DataFlow):
        data = {"name": "w", "steps": [{"id": "a", "type": "UserLsitNode", "inputs": {}}]}
        with pytest.raises(UnknownNodeError) as caught:
            WorkflowBuilder.from_dict(data, db=shop)

        assert caught.value.at == "from_dict, node 'a'"


def test_a_workflow_is_drawn_by_mermaid(workflow: Workflow):
    assert workflow.to_mermaid().splitlines() == [
        "flowchart TD",
        '    n0["create_user<br/>UserCreateNode"]',
        '    n1["users<br/>UserListNode"]',
        '    n2["cheaper<br/>discount"]',
        '    n3["all<br/>UserListNode"]',
        "    n0 -->|name → filter| n1",
        "    n0 -->|id → when| n2",
        "    n1 --> n2",
        "    n0 -.-> n3",
    ]


def test_a_quote_in_a_name_does_not_break_the_picture(shop: DataFlow):
    builder = WorkflowBuilder(db=shop)
    builder.add_node("UserListNode", 'the "users"')

    assert builder.build().to_mermaid() == (
        'flowchart TD\n    n0["the #quot;users#quot;<br/>UserListNode"]'
    )
