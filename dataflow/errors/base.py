"""The root of all errors, its three families, and the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "DataFlowError",
    "DatabaseError",
    "DefinitionError",
    "ExecutionError",
    "did_you_mean",
    "shown",
]


def did_you_mean(given: Any, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return a sentence with the nearest known name.

    Args:
        given: The wrong name.
        known: The right ones.
        otherwise: What to say where none is near; None: the known names.
    """
    name, names = str(given), sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not near:
        folded = {item.casefold(): item for item in names}
        near = [folded[item] for item in difflib.get_close_matches(name.casefold(), folded, 1, 0.6)]
    if near:
        return f"did you mean {near[0]!r}?"
    if otherwise is not None:
        return otherwise
    if not names:
        return "there are none to choose from"
    shown = ", ".join(repr(item) for item in names[:12])
    return f"choose from {shown}" + (", …" if len(names) > 12 else "")


def shown(value: Any, limit: int = 200) -> str:
    """Return a value as an error shows it: cut where it is long, whatever its depth."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}…"


class DataFlowError(Exception):
    """Root of all errors; see the module for the tree.

    Attributes:
        code: Stable identifier such as `"DF101"`.
        retryable: Whether the same call may succeed later, unchanged.
        outcome: For a write, `"not_applied"` or `"unknown"`; None otherwise.
        at: Where the caller's mistake stands, such as `"app.py:14, node 'a'"`.
    """

    code: ClassVar[str] = "DF000"
    retryable: bool = False
    outcome: str | None = None
    text: ClassVar[str] = "{problem}"
    at: str | None = None

    def __init__(self, **facts: Any) -> None:
        """Keep the facts as attributes."""
        super().__init__()
        self._facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling with all facts."""
        return (_rebuild, (type(self), self._facts), self.__dict__)

    def set_fact(self, name: str, value: Any) -> None:
        """Replace a fact by a better one, learned on the way to the caller."""
        self._facts[name] = value
        setattr(self, name, value)

    def problem_text(self) -> str:
        """Return what is wrong, in one sentence with the values."""
        return self.text.format(**self._facts)

    def advice(self) -> str | None:
        """Return what to do about it, or None."""
        value = self._facts.get("advise")
        return None if value is None else str(value)

    def __str__(self) -> str:
        """Return the whole text: problem, place, help and code."""
        return self.text_at(self.at)

    def text_at(self, place: str | None) -> str:
        """Return the whole text with a place."""
        lines = [self.problem_text()]
        if place:
            lines.append(f"  at: {place}")
        advice = self.advice()
        if advice:
            lines.append(f"  help: {advice}")
        lines.append(f"  code: {self.code}")
        return "\n".join(lines)


def _rebuild(kind: type[DataFlowError], facts: dict[str, Any]) -> DataFlowError:
    return kind(**facts)


class DefinitionError(DataFlowError):
    """The program is wrong: fix the code."""


class DatabaseError(DataFlowError):
    """The data is not as the call needs it: handle it."""

    outcome: str | None = "not_applied"


class ExecutionError(DataFlowError):
    """The call could not be carried out: retry or report."""
