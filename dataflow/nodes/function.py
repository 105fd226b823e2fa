"""`@node`: a function becomes a node type."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from dataflow.errors import ParameterError, did_you_mean
from dataflow.nodes.effects import PURE, UNKNOWN, Effects, Resource
from dataflow.nodes.node import Node, read_signature
from dataflow.nodes.registry import Registry, default_registry

__all__ = ["NodeDecorator", "node", "node_type_of"]

F = TypeVar("F", bound=Any)
_OPTIONS = ("name", "blocking", "pure", "reads", "writes")


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
        for name in options:
            if name not in _OPTIONS:
                problem = f"@node has no option {name!r}."
                raise ParameterError(
                    problem=problem, advise=did_you_mean(name, _OPTIONS), at=location
                )
        if target is None:
            return lambda inner: self._register(inner, location, **options)
        return self._register(target, location, **options)

    def _register(self, target: Any, location: str, **options: Any) -> Any:
        _check_effects(options, location)
        if inspect.isclass(target) and issubclass(target, Node):
            node_type = target
            _set_on_class(node_type, self._registry, options)
        else:
            node_type = _class_for(target, self._registry, location, options)
            setattr(target, "__dataflow__", node_type)  # noqa: B010 - functions declare no such attribute
        self._registry.add(node_type, location, replace=_is_interactive(location))
        return target


def _check_effects(options: Mapping[str, Any], location: str) -> None:
    if options.get("pure") and (options.get("reads") or options.get("writes")):
        raise ParameterError(
            problem="a node that reads or writes something is not pure.", at=location
        )


def _set_on_class(
    node_type: type[Node], registry: Registry, options: Mapping[str, Any]
) -> None:
    """Let the decorator's options hold for a class as for a function."""
    if "name" in options:
        node_type.node_type = options["name"]
    if "blocking" in options:
        node_type.blocking = options["blocking"]
    if options.get("pure") or options.get("reads") or options.get("writes"):
        node_type.effects = _effects_of(registry, options)


def _effects_of(registry: Registry, options: Mapping[str, Any]) -> Effects:
    if options.get("pure"):
        return PURE
    reads, writes = options.get("reads", ()), options.get("writes", ())
    if registry.database is None or not (reads or writes):
        return UNKNOWN  # without a database, a table's name says too little
    return Effects(_resources(registry, reads), _resources(registry, writes))


def _is_interactive(location: str) -> bool:
    return location.startswith("<") or "ipykernel" in location


def _class_for(
    function: Callable[..., Any], registry: Registry, location: str, options: Mapping[str, Any]
) -> type[Node]:
    parameters, returns, open_inputs = read_signature(function)
    positional = [
        item.name
        for item in inspect.signature(function).parameters.values()
        if item.kind is item.POSITIONAL_ONLY
    ]
    if positional:
        raise ParameterError(
            problem=f"inputs are given by name, but {positional[0]!r} is positional-only.",
            advise="remove the '/' from the signature",
            at=location,
        )
    chosen = options.get("name") or function.__name__
    return type(
        chosen,
        (Node,),
        {
            "node_type": chosen,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "run": staticmethod(function),
            "effects": _effects_of(registry, options),
            "database": registry.database,
            "blocking": options.get("blocking", True),
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
