"""Options of a step, checked."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from dataflow.errors import ParameterError, did_you_mean
from dataflow.runtime.references import InputReference, Reference
from dataflow.runtime.retry import Retry

__all__ = ["StepOptions", "checked_options"]


class StepOptions(TypedDict, total=False):
    """Options of a step; see `WorkflowBuilder.add_node`."""

    retry: Retry | int | None
    timeout_s: float | None
    on_error: Literal["fail", "continue"]
    when: Reference | InputReference | None


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a step, with a number of attempts as a `Retry`.

    Raises:
        ParameterError: For an unknown option or a wrong value.
    """
    for name in options:
        if name not in StepOptions.__annotations__:
            problem = f"add_node() has no option {name!r}."
            raise ParameterError(
                problem=problem, advise=did_you_mean(name, StepOptions.__annotations__)
            )
    retry = options.get("retry")
    if isinstance(retry, int) and not isinstance(retry, bool):
        if retry < 1:
            raise ParameterError(problem=f"retry must be at least 1 attempt, not {retry!r}.")
        options["retry"] = Retry(attempts=retry)
    elif retry is not None and not isinstance(retry, Retry):
        raise ParameterError(problem=f"retry must be a Retry or a number, not {retry!r}.")
    if options.get("on_error", "fail") not in ("fail", "continue"):
        raise ParameterError(problem='on_error must be "fail" or "continue".')
    _check_timeout(options.get("timeout_s"))
    when = options.get("when")
    if when is not None and not isinstance(when, Reference | InputReference):
        problem = f"when must be a reference such as user['found'], not {when!r}."
        raise ParameterError(problem=problem)
    return options


def _check_timeout(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ParameterError(problem=f"timeout_s must be a number above 0, not {value!r}.")
