"""`@node`: a function becomes a node type."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from dataflow.nodes.effects import PURE, UNKNOWN, Effects, Resource
from dataflow.nodes.node import Node, read_signature
from dataflow.nodes.registry import Registry, default_registry

__all__ = ["NodeDecorator", "node", "node_type_of"]

F = TypeVar("F", bound=Any)


class NodeDecorator:
    """Registers functions and `Node` classes in one registry."""

    def __init__(self, registry: Registry) -> None:
        """Keep the registry."""
        self._registry = registry

    @overload
    def __call__(self, target: F) -> F: ...

    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        blocking: bool = True,
        pure: bool = False,
        reads: Iterable[Any] = (),
        writes: Iterable[Any] = (),
    ) -> Callable[[F], F]: ...

    def __call__(self, target: Any = None, **options: Any) -> Any:
        """Register a function or a class; the same object is returned.

        Args:
            target: The function or class, when used without parentheses.
            **options: `name`, the node type's name (default: the function's);
                `blocking`, False to run a plain function on the event loop instead of
                in a thread; `pure`, True when it reads and writes nothing outside, so
                that it may run in any order; `reads` and `writes`, models, tables or
                other names that it touches.
        """
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
        location = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if target is None:
            return lambda inner: self._register(inner, location, **options)
        return self._register(target, location, **options)

    def _register(self, target: Any, location: str, **options: Any) -> Any:
        if inspect.isclass(target) and issubclass(target, Node):
            node_type = target
        else:
            node_type = _class_for(target, self._registry, **options)
            setattr(target, "__dataflow__", node_type)  # noqa: B010 - functions declare no such attribute
        self._registry.add(node_type, location, replace=_is_interactive(location))
        return target


def _is_interactive(location: str) -> bool:
    return location.startswith("<") or "ipykernel" in location


def _class_for(
    function: Callable[..., Any],
    registry: Registry,
    *,
    name: str | None = None,
    blocking: bool = True,
    pure: bool = False,
    reads: Iterable[Any] = (),
    writes: Iterable[Any] = (),
) -> type[Node]:
    parameters, returns, open_inputs = read_signature(function)
    chosen = name or function.__name__
    effects = PURE if pure else UNKNOWN
    if reads or writes:
        effects = Effects(_resources(registry, reads), _resources(registry, writes))
    return type(
        chosen,
        (Node,),
        {
            "node_type": chosen,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "run": staticmethod(function),
            "effects": effects,
            "blocking": blocking,
            "_parameters": parameters,
            "_returns": returns,
            "open_inputs": open_inputs,
        },
    )


def _resources(registry: Registry, names: Iterable[Any]) -> frozenset[Resource]:
    return frozenset((registry.database, _resource_name(item)) for item in names)


def _resource_name(item: Any) -> str:
    spec = getattr(item, "__dataflow__", None)
    table = getattr(spec, "table", None)
    return str(item if table is None else table.fullname)


def node_type_of(item: Any) -> type[Node] | None:
    """Return the node class of a class or decorated function, else None."""
    if inspect.isclass(item) and issubclass(item, Node):
        return item
    found = getattr(item, "__dataflow__", None)
    return found if inspect.isclass(found) and issubclass(found, Node) else None


node = NodeDecorator(default_registry)
"""Decorator for nodes that belong to no DataFlow."""
