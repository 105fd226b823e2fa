"""`Registry`: the node types of one DataFlow, found by name."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.errors import AmbiguousNodeError, DuplicateNodeError, UnknownNodeError
from dataflow.nodes.node import Node

__all__ = ["Registry", "live_registries", "default_registry", "find_node_type"]

# The builder looks a name up in all live registries when it was given none.
_live: weakref.WeakSet[Registry] = weakref.WeakSet()
_numbers = itertools.count()


class Registry:
    """Node classes by name."""

    def __init__(self, name: str, database: Any = None) -> None:
        """Begin empty, and be found by builders until closed.

        Args:
            name: Shown in errors.
            database: The database on which the model nodes work.
        """
        self.name = name
        self.database = database
        self._types: dict[str, tuple[type[Node], str]] = {}
        self.number = next(_numbers)
        _live.add(self)

    def add(self, node_type: type[Node], location: str, *, replace: bool = False) -> None:
        """Register a class under its `node_type`.

        Raises:
            DuplicateNodeError: If the name is taken from another place in the code.
        """
        name = node_type.node_type
        taken = self._types.get(name)
        if taken is not None and not replace and taken[1] != location:
            raise DuplicateNodeError(kind="node type", name=name, first=taken[1], at=location)
        self._types[name] = (node_type, location)

    def remove(self, name: str) -> None:
        """Forget a name; unknown ones are ignored."""
        self._types.pop(name, None)

    def find(self, name: str) -> type[Node] | None:
        """Return the class of that name, or None."""
        found = self._types.get(name)
        return None if found is None else found[0]

    def get(self, name: str) -> type[Node]:
        """Return the class of that name.

        Raises:
            UnknownNodeError: Naming the nearest one.
        """
        found = self.find(name)
        if found is None:
            raise UnknownNodeError(name=name, known=tuple(self._types))
        return found

    def names(self) -> tuple[str, ...]:
        """Return all names, in order of registration."""
        return tuple(self._types)

    def __iter__(self) -> Iterator[type[Node]]:
        """Iterate over the classes in order of registration."""
        return iter([node_type for node_type, _ in self._types.values()])

    def __getattr__(self, name: str) -> type[Node]:
        """Return the class of that name: `db.nodes.UserCreateNode`."""
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.get(name)
        except UnknownNodeError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> list[str]:
        """Name the node types too, for completion."""
        return [*super().__dir__(), *self._types]

    def as_mapping(self) -> Mapping[str, type[Node]]:
        """Return `{name: class}`."""
        return {name: node_type for name, (node_type, _) in self._types.items()}

    def close(self) -> None:
        """Be no longer found by builders that were given no DataFlow."""
        _live.discard(self)


default_registry = Registry("default")


def find_node_type(name: str, registry: Registry | None, at: str | None = None) -> type[Node]:
    """Return the class for a name.

    Args:
        registry: Where to look first; the default registry comes next. None: all
            live registries.

    Raises:
        UnknownNodeError: If there is none, naming the nearest.
        AmbiguousNodeError: If several live registries have it.
    """
    places = [default_registry] if registry is None else [registry, default_registry]
    for place in places:
        found = place.find(name)
        if found is not None:
            return found
    if registry is not None:
        known = (*registry.names(), *default_registry.names())
        raise UnknownNodeError(name=name, known=known, at=at)
    if len(_matches(name)) > 1:
        gc.collect()  # forgotten DataFlow objects that only a cycle keeps
    matches = _matches(name)
    if not matches:
        known = tuple(item for place in list(_live) for item in place.names())
        raise UnknownNodeError(name=name, known=known, at=at)
    if len(matches) > 1:
        raise AmbiguousNodeError(name=name, count=len(matches), at=at)
    return matches[0]


def _matches(name: str) -> list[type[Node]]:
    return [found for place in list(_live) if (found := place.find(name)) is not None]


def live_registries() -> list[Registry]:
    """Return the registries that builders look in, the oldest first."""
    return sorted(_live, key=lambda registry: registry.number)
