"""Ways through a workflow: switches, merges, conditions."""

from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, Results, WorkflowBuilder
from dataflow.errors import UnresolvedReferenceError, WorkflowFailedError


@pytest.fixture
def builder(memory: DataFlow) -> WorkflowBuilder:
    @memory.model
    class User:
        id: int
        name: str

    @memory.node(pure=True)
    def keep(value: Any = None) -> Any:
        return {"value": value}

    @memory.node(pure=True)
    def pair(one: Any, other: Any = None) -> Any:
        return {"pair": [one, other]}

    return WorkflowBuilder("ways", db=memory)


def run(builder: WorkflowBuilder, **options: Any) -> Results:
    return LocalRuntime().execute(builder, **options)[0]


class TestSwitch:
    @pytest.mark.parametrize(("value", "taken", "left"), [(1, "yes", "no"), (0, "no", "yes")])
    def test_only_the_way_that_is_taken_runs(
        self, builder: WorkflowBuilder, value: int, taken: str, left: str
    ):
        way = builder.add_node("SwitchNode", "way", {"value": value, "data": "d"})
        builder.add_node("keep", "yes", {"value": way["true"]})
        builder.add_node("keep", "no", {"value": way["false"]})

        results = run(builder)

        assert results[taken] == {"value": "d"}
        assert left not in results
        assert results.status == {"way": "completed", taken: "completed", left: "skipped"}

    @pytest.mark.parametrize(
        ("value", "taken"), [("a", "first"), ("b", "second"), ("c", "otherwise")]
    )
    def test_a_case_is_chosen_by_its_value(self, builder: WorkflowBuilder, value: str, taken: str):
        cases = {"one": "a", "two": "b"}
        way = builder.add_node("SwitchNode", "way", {"value": value, "cases": cases})
        builder.add_node("keep", "first", {"value": way["one"]})
        builder.add_node("keep", "second", {"value": way["two"]})
        builder.add_node("keep", "otherwise", {"value": way["default"]})

        assert run(builder).keys() == {"way", taken}

    def test_what_hangs_on_a_skipped_node_is_skipped_too(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": False})
        one = builder.add_node("keep", "one", {"value": way["true"]})
        two = builder.add_node("keep", "two", {"value": one["value"]})
        builder.add_node("keep", "three", {"value": {"deep": [two["value"]]}})

        assert run(builder).status == {
            "way": "completed", "one": "skipped", "two": "skipped", "three": "skipped",
        }  # fmt: skip

    def test_order_alone_does_not_skip(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": False})
        builder.add_node("keep", "one", {"value": way["true"]})
        builder.add_node("keep", "two", {"value": 2})
        builder.add_connection("one", "two")

        assert run(builder).status == {"way": "completed", "one": "skipped", "two": "completed"}

    def test_a_node_that_needs_two_ways_is_skipped_when_one_is_not_taken(
        self, builder: WorkflowBuilder
    ):
        way = builder.add_node("SwitchNode", "way", {"value": True})
        builder.add_node("pair", "both", {"one": way["true"], "other": way["false"]})

        assert run(builder).status == {"way": "completed", "both": "skipped"}

    def test_a_model_node_is_skipped_like_any_other(self, builder: WorkflowBuilder, memory):
        way = builder.add_node("SwitchNode", "way", {"value": False, "data": "Ada"})
        builder.add_node("UserCreateNode", "created", {"name": way["true"]})
        builder.add_node("UserListNode", "users")

        results = run(builder)
        assert results["users"]["count"] == 0
        assert results.status["created"] == "skipped"


class TestMerge:
    @pytest.mark.parametrize(("value", "taken"), [(True, "yes"), (False, "no")])
    def test_a_merge_joins_the_way_that_was_taken(
        self, builder: WorkflowBuilder, value: bool, taken: str
    ):
        way = builder.add_node("SwitchNode", "way", {"value": value})
        yes = builder.add_node("keep", "yes", {"value": way["true"]})
        no = builder.add_node("keep", "no", {"value": way["false"]})
        builder.add_node("MergeNode", "merged", {"yes": yes["value"], "no": no["value"]})

        assert run(builder)["merged"] == {"result": value, "results": {taken: value}}

    def test_a_merge_of_all_ways_gives_the_first_as_connected(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": 1})
        two = builder.add_node("keep", "two", {"value": 2})
        builder.add_node("MergeNode", "merged", {"b": two["value"], "a": one["value"]})

        assert run(builder)["merged"] == {"result": 2, "results": {"b": 2, "a": 1}}

    def test_a_merge_without_any_way_is_skipped(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": False})
        one = builder.add_node("keep", "one", {"value": way["true"]})
        builder.add_node("MergeNode", "merged", {"one": one["value"]})

        assert run(builder).status["merged"] == "skipped"

    def test_a_merge_leaves_a_list_with_a_skipped_reference_out(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": True})
        yes = builder.add_node("keep", "yes", {"value": way["true"]})
        no = builder.add_node("keep", "no", {"value": way["false"]})
        builder.add_node("MergeNode", "merged", {"yes": [yes["value"]], "no": [no["value"]]})

        assert run(builder)["merged"] == {"result": [True], "results": {"yes": [True]}}


class TestWhen:
    @pytest.mark.parametrize(
        ("value", "state"), [(1, "completed"), (0, "skipped"), ([], "skipped")]
    )
    def test_a_step_runs_when_its_condition_holds(
        self, builder: WorkflowBuilder, value: Any, state: str
    ):
        first = builder.add_node("keep", "first", {"value": value})
        builder.add_node("keep", "then", {"value": "x"}, when=first["value"])

        assert run(builder).status["then"] == state

    def test_a_record_that_was_not_found_skips_what_needs_it(self, builder: WorkflowBuilder):
        user = builder.add_node("UserReadNode", "user", {"id": 7})
        builder.add_node("keep", "then", {"value": user["name"]}, when=user["found"])

        results = run(builder)
        assert (dict(results), results.status["then"]) == ({"user": {"found": False}}, "skipped")

    @pytest.mark.parametrize(("given", "state"), [(True, "completed"), (False, "skipped")])
    def test_the_condition_may_be_an_input_of_the_workflow(
        self, builder: WorkflowBuilder, given: bool, state: str
    ):
        wanted = builder.add_input("wanted", bool)
        builder.add_node("keep", "then", {"value": 1}, when=wanted)

        assert run(builder, inputs={"wanted": given}).status == {"then": state}

    def test_a_condition_from_a_skipped_node_skips(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": False})
        one = builder.add_node("keep", "one", {"value": way["true"]})
        builder.add_node("keep", "two", {"value": 2}, when=one["value"])

        assert run(builder).status["two"] == "skipped"

    def test_the_way_of_a_switch_may_be_a_condition(self, builder: WorkflowBuilder):
        way = builder.add_node("SwitchNode", "way", {"value": True, "data": "d"})
        builder.add_node("keep", "yes", {"value": 1}, when=way["true"])
        builder.add_node("keep", "no", {"value": 2}, when=way["false"])

        assert run(builder).status == {"way": "completed", "yes": "completed", "no": "skipped"}

    def test_a_condition_that_the_run_does_not_give_fails_there(self, builder: WorkflowBuilder):
        first = builder.add_node("keep", "first", {"value": 1})
        builder.add_node("keep", "then", {"value": 1}, when=first["other"])

        with pytest.raises(WorkflowFailedError) as caught:
            run(builder)

        assert type(caught.value.failures["then"]) is UnresolvedReferenceError


class TestParameters:
    def test_parameters_replace_given_inputs(self, builder: WorkflowBuilder):
        builder.add_node("UserCreateNode", "created", {"name": "Ada"})

        assert run(builder, parameters={"created": {"name": "Grace"}})["created"]["name"] == "Grace"

    def test_parameters_replace_connected_inputs(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": 1})
        builder.add_node("keep", "two", {"value": one["value"]})

        assert run(builder, parameters={"two": {"value": 9}})["two"] == {"value": 9}

    def test_parameters_of_one_run_do_not_stay(self, builder: WorkflowBuilder):
        builder.add_node("keep", "one", {"value": 1})
        workflow, runtime = builder.build(), LocalRuntime()
        runtime.execute(workflow, parameters={"one": {"value": 2}})

        assert runtime.execute(workflow)[0] == {"one": {"value": 1}}

    def test_a_parameter_beside_a_given_filter_is_enough(self, builder: WorkflowBuilder, memory):
        builder.add_node("UserCreateNode", "created", {"name": "Ada"})
        builder.add_node("UserBulkDeleteNode", "gone", {"filter": {"name": "Ada"}})

        results = run(builder, parameters={"gone": {"hard": True}})

        assert results["gone"] == {"processed": 1, "deleted": 1, "success": True}

    def test_a_parameter_in_another_spelling_replaces_too(self, builder: WorkflowBuilder):
        builder.add_node("UserCreateNode", "created", {"name": "Ada"})
        builder.add_node("UserListNode", "users", {"filter": {"name": "Eve"}})

        results = run(builder, parameters={"users": {"where": {"name": "Ada"}}})

        assert results["users"]["count"] == 1

    def test_workflow_inputs_are_given_by_name_and_arrive_typed(self, builder: WorkflowBuilder):
        percent = builder.add_input("percent", float, default=10)
        total = builder.add_input("total", float)
        builder.add_node("pair", "p", {"one": total, "other": {"nested": [percent]}})

        assert run(builder, inputs={"total": "5"})["p"] == {"pair": [5.0, {"nested": [10]}]}
        assert run(builder, inputs={"total": 5, "percent": 1})["p"] == {
            "pair": [5.0, {"nested": [1.0]}]
        }

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (
                {"parameters": {"creatd": {}}},
                (
                    "parameters name node 'creatd', which workflow 'ways' does not have.\n"
                    "  help: did you mean 'created'?\n  code: DF103"
                ),
            ),
            (
                {"parameters": {"created": {"nam": 1}}},
                (
                    "parameters of 'created': there is no input 'nam'; did you mean 'name'?\n"
                    "  code: DF103"
                ),
            ),
            (
                {"inputs": {"totl": 1}},
                (
                    "workflow 'ways' has no input 'totl'.\n  help: did you mean 'total'?\n"
                    "  code: DF103"
                ),
            ),
            (
                {"inputs": {}},
                (
                    "workflow 'ways' needs the input 'total'.\n"
                    "  help: execute(workflow, inputs={'total': …})\n  code: DF103"
                ),
            ),
            (
                {"inputs": {"total": "much"}},
                (
                    "workflow input 'total': Input should be a valid number, unable to "
                    "parse string as a number (got 'much').\n  code: DF103"
                ),
            ),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_wrong_names_and_values_are_refused_before_anything_runs(
        self, builder: WorkflowBuilder, options: dict, text: str
    ):
        from dataflow.errors import ParameterError

        builder.add_input("total", float)
        builder.add_node("UserCreateNode", "created", {"name": "Ada"})

        with pytest.raises(ParameterError) as caught:
            run(builder, **options)

        assert str(caught.value) == text

    @pytest.mark.parametrize("options", [{"transacton": True}, {"tenant_": "acme"}], ids=str)
    def test_an_unknown_option_of_a_run_is_refused(self, builder: WorkflowBuilder, options: dict):
        builder.add_node("UserListNode", "users")

        with pytest.raises((TypeError, Exception), match=next(iter(options))):
            run(builder, **options)
