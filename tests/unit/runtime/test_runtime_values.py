"""References, results and retry policies: small values of the runtime."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow import Results, Retry
from dataflow.errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlockError,
    NodeTimeoutError,
    ParameterError,
    UniqueViolationError,
)
from dataflow.runtime.references import (
    InputReference,
    Reference,
    find_references,
    replace_references,
)

leaves = (
    st.integers() | st.text(max_size=3) | st.builds(Reference, st.just("a"), st.text(max_size=2))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


class TestReferences:
    def test_references_are_found_with_the_way_to_them(self):
        a, b, c = Reference("a", "id"), InputReference("b"), Reference("c", "x")

        found = list(find_references({"p": a, "q": [1, {"r": b}], "s": (c, "text")}))

        assert found == [(("p",), a), (("q", 1, "r"), b), (("s", 0), c)]

    @given(values)
    def test_replacing_leaves_no_reference_and_keeps_the_rest(self, value: object):
        known = {found.reference: found.reference.output for found in find_references(value)}

        replaced = replace_references(value, known)

        assert list(find_references(replaced)) == []
        if not known:
            assert replaced == value

    def test_an_unnamed_tuple_stays_a_tuple_and_a_dict_a_dict(self):
        one = Reference("a", "id")

        assert replace_references({"k": (one, [one])}, {one: 1}) == {"k": (1, [1])}


    @pytest.mark.parametrize(
        ("reference", "shown"),
        [
            (Reference("user", "id"), "user['id']"),
            (InputReference("percent"), "input('percent')"),
        ],
    )
    @pytest.mark.parametrize("write", ["{}".format, str, "%s".__mod__, lambda r: f"{r:>9}"])
    def test_a_reference_is_no_text(self, reference: object, shown: str, write: Any):
        with pytest.raises(ParameterError) as caught:
            write(reference)

        assert str(caught.value) == (
            f"{shown} cannot be made a text: it has a value only when the workflow runs.\n"
            f"  at: {caught.value.at}\n"
            "  help: give the reference itself as an input; a text with it is made in a node, "
            "such as a function with @node\n"
            "  code: DF103"
        )
        assert (caught.value.at or "").startswith(f"{__file__}:")

    def test_a_reference_is_shown_by_its_repr(self):
        assert repr(Reference("user", "id")) == "Reference(step='user', output='id')"
        assert f"{InputReference('x')!r}" == "InputReference(name='x')"


class TestResults:
    def test_results_are_a_dict_with_states(self):
        results = Results({"a": {"x": 1}}, {"a": "completed", "b": "skipped"})

        assert results == {"a": {"x": 1}}
        assert results.status == {"a": "completed", "b": "skipped"}

    @pytest.mark.parametrize("copied", [lambda r: pickle.loads(pickle.dumps(r)), copy.copy])
    def test_results_survive_pickling_and_copying(self, copied):
        results = copied(Results({"a": {"x": 1}}, {"a": "completed"}))

        assert (type(results), results, results.status) == (
            Results, {"a": {"x": 1}}, {"a": "completed"},
        )  # fmt: skip


class TestRetry:
    def test_a_plain_exception_is_tried_again_until_the_attempts_are_used(self):
        retry = Retry(attempts=3)

        assert [retry.wants(ValueError(), n) for n in (1, 2, 3)] == [True, True, False]

    def test_only_the_named_exceptions_are_tried_again(self):
        retry = Retry(on=(OSError,))

        assert (retry.wants(ConnectionError(), 1), retry.wants(ValueError(), 1)) == (True, False)

    @pytest.mark.parametrize(
        ("error", "wanted"),
        [
            (DeadlockError(detail="d"), True),
            (UniqueViolationError(table="t", fields="f"), False),
            (ParameterError(problem="p"), False),
            (ConnectionLostError(detail="d"), False),
            (ConnectionLostError(detail="d", outcome=None), True),
            (ConnectionLostError(detail="d", outcome="not_applied"), True),
            (NodeTimeoutError(node="n", timeout_s=1), False),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_our_own_errors_are_tried_again_when_that_is_safe(self, error, wanted):
        assert Retry().wants(error, 1) is wanted

    def test_an_interrupt_is_never_tried_again(self):
        assert Retry().wants(KeyboardInterrupt(), 1) is False

    def test_the_delay_grows_up_to_its_limit(self):
        retry = Retry(delay_s=1, factor=3, max_delay_s=20, jitter=0)

        assert [retry.delay_after(n) for n in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]

    @given(st.integers(1, 50), st.floats(0, 1))
    def test_jitter_keeps_the_delay_near(self, attempt: int, jitter: float):
        plain = Retry(jitter=0).delay_after(attempt)

        delay = Retry(jitter=jitter).delay_after(attempt)

        assert plain * (1 - jitter) <= delay <= plain * (1 + jitter)

    @pytest.mark.parametrize(
        "wrong",
        [{"attempts": 0}, {"delay_s": -1}, {"jitter": 2}, {"jitter": -0.1}, {"max_delay_s": -1}],
        ids=str,
    )
    def test_numbers_that_make_no_sense_are_refused(self, wrong: dict):
        with pytest.raises(ConfigurationError):
            Retry(**wrong)
