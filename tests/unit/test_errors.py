"""The error tree: codes, families, texts, and what survives pickling."""

import copy
import inspect
import pickle
import re

import pytest

from dataflow import Results, errors
from dataflow.errors import (
    ConnectionLostError,
    DatabaseError,
    DataFlowError,
    DefinitionError,
    ExecutionError,
    ParameterError,
    RecordValidationError,
    StaleRecordError,
    UnknownNodeError,
    WorkflowDefinitionError,
    WorkflowFailedError,
    did_you_mean,
)

ROOTS = {DataFlowError, DefinitionError, DatabaseError, ExecutionError}
ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, DataFlowError) and kind not in ROOTS
]
FACTS = {
    "problems": ((3, "age", "must be a number", "old"),),
    "known": ("UserCreateNode", "age"),
    "results": Results({"a": {"x": 1}}, {"a": "completed"}),
    "failures": {"b": ValueError("no")},
    "places": {"b": "app.py:3"},
    "seconds": 1.5,
    "wait_s": 1.5,
    "timeout_s": 1.5,
    "waited_s": 0.5,
    "extra": "web",
}


def example(kind: type[DataFlowError]) -> DataFlowError:
    """An error with every fact that its class speaks of."""
    source = inspect.getsource(kind) + kind.text
    names = {
        *re.findall(r"\{(\w+)[!:}]", kind.text),
        *re.findall(r"self\.(\w+)\b(?!\()", source),
        *re.findall(r"_facts\[['\"](\w+)['\"]\]", source),
        *(n for c in kind.__mro__ if issubclass(c, DataFlowError) for n in c.__annotations__),
    }
    names -= {"text", "code", "retryable", "outcome", "at", "_facts"}
    facts = {name: FACTS.get(name, f"a {name}") for name in sorted(names)}
    if kind is WorkflowDefinitionError:
        facts["problems"] = ("one", "two")
    return kind(**facts, at="app.py:14")


def test_every_code_is_used_once():
    codes = [kind.code for kind in ALL]

    assert sorted(codes) == sorted(set(codes))
    assert all(re.fullmatch(r"DF[123]\d\d", code) for code in codes)


def test_every_class_stands_in_the_tree_with_its_code_and_in_its_family():
    families: dict[str, str] = {}
    family = ""
    for line in (errors.__doc__ or "").splitlines():
        root = re.match(r"[├└]── (\w+)", line)
        family = root[1] if root else family
        families |= {
            name: f"{family} {code}" for name, code in re.findall(r"(\w+Error)\s+(DF\d{3})", line)
        }

    expected = {
        kind.__name__: f"{next(r for r in kind.__mro__ if r in ROOTS).__name__} {kind.code}"
        for kind in ALL
    }
    assert families == expected


def test_every_class_is_public():
    names = {kind.__name__ for kind in [*ALL, *ROOTS]}

    assert names <= set(errors.__all__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
class TestEveryClass:
    def test_it_has_a_docstring_and_tells_the_code_last(self, kind: type[DataFlowError]):
        error = example(kind)

        assert kind.__doc__ != DataFlowError.__doc__
        assert str(error).splitlines()[-1] == f"  code: {kind.code}"
        assert "  at: app.py:14" in str(error).splitlines()

    @pytest.mark.parametrize(
        "through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],
        ids=["pickle", "copy", "deepcopy"],
    )  # fmt: skip
    def test_it_survives_pickling_and_copying(self, kind: type[DataFlowError], through):
        error = example(kind)

        again = through(error)

        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again).keys() == vars(error).keys()
        assert (again.code, again.retryable, again.outcome, again.at) == (
            error.code, error.retryable, error.outcome, error.at,
        )  # fmt: skip

    def test_it_says_whether_to_retry_and_what_became_of_a_write(self, kind: type[DataFlowError]):
        error = example(kind)

        assert error.retryable in (True, False)
        assert error.outcome in ("not_applied", "unknown", None)
        if issubclass(kind, DatabaseError):
            assert error.outcome == "not_applied"


def test_what_is_set_after_the_making_survives_pickling():
    error = ConnectionLostError(detail="reset")
    error.outcome = None
    error.at = "app.py:3"
    error.add_note("while reading")

    again = pickle.loads(pickle.dumps(error))

    assert (again.outcome, again.at, again.__notes__) == (None, "app.py:3", ["while reading"])


def test_a_failed_workflow_survives_pickling_with_all_it_knows():
    error = WorkflowFailedError(
        workflow="w",
        run_id="r",
        results=Results({"a": {"x": 1}}, {"a": "completed", "b": "failed"}),
        failures={"b": UnknownNodeError(name="x", known=("y",))},
        places={"b": "app.py:3"},
    )

    again = pickle.loads(pickle.dumps(error))

    assert (again.workflow, again.run_id, again.results, again.results.status) == (
        "w", "r", {"a": {"x": 1}}, {"a": "completed", "b": "failed"},
    )  # fmt: skip
    assert str(again) == str(error)


def test_a_failed_workflow_tells_each_failure():
    error = WorkflowFailedError(
        workflow="w",
        run_id="r",
        results={},
        failures={
            "a": ValueError("one\ntwo"),
            "b": KeyError("k"),
            "c": UnknownNodeError(name="x", known=("xy",)),
            "d": ParameterError(problem="no", at="app.py:9, node 'd'"),
        },
        places={"a": "app.py:1", "b": "app.py:2", "c": "app.py:3", "d": "app.py:4"},
    )

    assert str(error) == (
        "workflow 'w', run r: 4 failed.\n"
        "  node 'a': ValueError: one\n"
        "    two\n"
        "    at: app.py:1\n"
        "  node 'b': KeyError: 'k'\n"
        "    at: app.py:2\n"
        "  node 'c': UnknownNodeError: there is no node type 'x'.\n"
        "    at: app.py:3\n"
        "    help: did you mean 'xy'?\n"
        "    code: DF101\n"
        "  node 'd': ParameterError: no\n"
        "    at: app.py:9, node 'd'\n"
        "    code: DF103\n"
        "  code: DF303"
    )


def test_wrong_values_are_shown_up_to_five_and_cut_when_long():
    problems = tuple((n, "age", "must be a number", "x" * 100) for n in range(7))

    lines = str(RecordValidationError(model="User", problems=problems)).splitlines()

    assert lines == [
        "values do not fit model 'User':",
        *(f"  record {n}, age: must be a number (got '{'x' * 76}…)" for n in range(5)),
        "  … and 2 more",
        "  code: DF201",
    ]


def test_a_value_too_deep_to_be_shown_is_named_by_its_type():
    value: list = []
    for _ in range(100_000):
        value = [value]

    error = RecordValidationError(model="User", problems=((None, "tags", "too deep", value),))

    assert str(error) == (
        "values do not fit model 'User':\n"
        "  tags: too deep (got a deeply nested list)\n"
        "  code: DF201"
    )


def test_a_stale_record_is_told_with_the_versions_where_they_are_known():
    known = StaleRecordError(model="Book", key="id=1", found=3, expected=2)
    unknown = StaleRecordError(model="Book")

    rest = (
        "\n  help: read the record again, apply the change to it, and update with its version"
        "\n  code: DF208"
    )
    assert str(known) == "'Book' id=1 is at version 3, expected 2." + rest
    assert str(unknown) == (
        "a record of 'Book' was changed or removed by someone else since it was read." + rest
    )
    assert (unknown.key, unknown.found, unknown.expected) == (None, None, None)


def test_a_problem_with_braces_is_shown_as_it_is():
    assert str(ParameterError(problem="no {name} in {0}")).splitlines()[0] == "no {name} in {0}"


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("nmae", ["name", "age"], "did you mean 'name'?"),
        ("NAME", ["name"], "did you mean 'name'?"),
        ("zzz", ["b", "a"], "choose from 'a', 'b'"),
        ("zzz", [], "there are none to choose from"),
        (
            "zzz",
            list("abcdefghijklmn"),
            "choose from " + ", ".join(map(repr, "abcdefghijkl")) + ", …",
        ),
    ],
)
def test_the_nearest_name_is_given(name, known, sentence):
    assert did_you_mean(name, known) == sentence
