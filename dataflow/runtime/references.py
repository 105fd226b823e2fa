"""References: a value that another node, or the caller of the workflow, will give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dataflow.errors import ParameterError
from dataflow.places import caller_place

__all__ = [
    "InputReference",
    "NodeHandle",
    "Reference",
    "copy_containers",
    "find_handles",
    "find_references",
    "replace_references",
]

Path = tuple[Any, ...]


class _Late:
    """A value that exists only when the workflow runs, so that no text can hold it."""

    __slots__ = ()

    def written(self) -> str:
        """Return the reference as it stands in code."""
        raise NotImplementedError

    def __str__(self) -> str:
        raise ParameterError(
            problem=f"{self.written()} cannot be made a text: "
            "it has a value only when the workflow runs.",
            advise="give the reference itself as an input; a text with it is made in a node, "
            "such as a function with @node",
            at=caller_place(),
        )

    def __format__(self, spec: str) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Reference(_Late):
    """An output of a step: `user["id"]`."""

    step: str
    output: str

    def written(self) -> str:
        """Return the reference as it stands in code."""
        return f"{self.step}[{self.output!r}]"


@dataclass(frozen=True, slots=True)
class InputReference(_Late):
    """A parameter of the workflow: `wf.input("percent")`."""

    name: str

    def written(self) -> str:
        """Return the reference as it stands in code."""
        return f"input({self.name!r})"


class NodeHandle(str):
    """What `add_node` returns: the step's id, and its outputs by subscription."""

    __slots__ = ()

    def __getitem__(self, output: Any) -> Any:
        """Return a reference to an output; numbers and slices read the id's text."""
        if isinstance(output, str):
            return Reference(str(self), output)
        return super().__getitem__(output)

    def output(self, name: str = "result") -> Reference:
        """Return a reference to an output."""
        return Reference(str(self), name)


class Found(NamedTuple):
    """A reference inside a value, with the way to it."""

    path: Path
    reference: Reference | InputReference


def find_references(value: Any, path: Path = ()) -> Iterator[Found]:
    """Yield every reference in a value, in dicts, lists and tuples."""
    if isinstance(value, Reference | InputReference):
        yield Found(path, value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from find_references(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from find_references(item, (*path, index))


def find_handles(value: Any) -> Iterator[NodeHandle]:
    """Yield every handle in a value, in dicts, lists and tuples."""
    if isinstance(value, NodeHandle):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_handles(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find_handles(item)


def copy_containers(value: Any) -> Any:
    """Return a value whose dicts, lists and tuples are copies, at every depth."""
    if isinstance(value, dict):
        return {key: copy_containers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_containers(item) for item in value]
    if type(value) is tuple:
        return tuple(copy_containers(item) for item in value)
    return value


def replace_references(value: Any, known: Mapping[Reference | InputReference, Any]) -> Any:
    """Return a copy of a value in which every reference is replaced."""
    if isinstance(value, Reference | InputReference):
        return known[value]
    if isinstance(value, Mapping):
        return {key: replace_references(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(replace_references(item, known) for item in value)
    return value
