"""`Node`: the signature of `run` is the schema."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from pydantic import ValidationError
from pydantic.json_schema import PydanticJsonSchemaWarning

from dataflow.errors import did_you_mean
from dataflow.nodes.effects import UNKNOWN, Effects
from dataflow.nodes.parameter import REQUIRED, NodeParameter, members_of, type_text

__all__ = ["Node"]


class Node:
    """Base class of nodes.

    Subclasses define `run` with keyword-only parameters; its signature says which
    inputs exist, of which types, and which are optional. `run` is a coroutine, or a
    plain function that runs in a worker thread. It returns a dict of named outputs;
    any other value becomes the output `result`.

        class Enrich(Node):
            async def run(self, *, record: dict, limit: int = 80) -> dict[str, Any]:
                return {"record": record | {"name": record["name"][:limit]}}
    """

    effects: ClassVar[Effects] = UNKNOWN
    """What the node reads and writes; unknown unless a subclass says."""

    blocking: ClassVar[bool] = True
    """Whether a `run` that is not a coroutine needs a worker thread."""

    branches: ClassVar[bool] = False
    """Whether an output that is absent means: this way is not taken."""

    database: ClassVar[Any] = None
    """The database of the DataFlow to which the node belongs, if any."""

    join: ClassVar[str] = "all"
    """`"all"`: skipped when one source was skipped; `"any"`: when all were."""

    mutates_inputs: ClassVar[bool] = True
    """Whether `run` may change lists and dicts that it is given; each run gets its own."""

    open_inputs: ClassVar[bool] = False
    """Whether inputs of any name are accepted."""

    node_type: ClassVar[str] = "Node"
    """The name under which workflows find the class."""

    _parameters: ClassVar[Mapping[str, NodeParameter]] = {}
    _returns: ClassVar[Any] = Any

    def __init_subclass__(cls, **options: Any) -> None:
        """Read the schema from the signature of `run`."""
        super().__init_subclass__(**options)
        cls.node_type = cls.__dict__.get("node_type", cls.__name__)
        if "run" in cls.__dict__ and "_parameters" not in cls.__dict__:
            cls._parameters, cls._returns, cls.open_inputs = read_signature(
                cls.__dict__["run"], skip_self=True
            )

    run: Callable[..., Any]
    """Do the node's work; subclasses define it."""

    @classmethod
    def parameters(cls) -> dict[str, NodeParameter]:
        """Return `{name: NodeParameter}` in the order of the signature."""
        return dict(cls._parameters)

    @classmethod
    def outputs(cls) -> dict[str, Any] | None:
        """Return `{name: type}`, or None when only a run tells."""
        returns = cls._returns
        if returns is Any or any(_is_mapping(member) for member in members_of(returns)):
            hints = getattr(returns, "__annotations__", None)
            return dict(typing.get_type_hints(returns)) if hints else None
        return {"result": returns}

    @classmethod
    def effects_with(cls, inputs: Mapping[str, Any]) -> Effects:
        """Return what the node touches for given inputs; connected ones are references."""
        del inputs
        return cls.effects

    @classmethod
    def outputs_with(cls, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the outputs for given inputs; None when only a run tells."""
        del inputs
        return cls.outputs()

    @classmethod
    def describe(cls) -> str:
        """Return what the node does, needs, accepts and returns, as text."""
        needs = [p.name for p in cls.parameters().values() if p.required]
        accepts = [f"{p.name}={p.default!r}" for p in cls.parameters().values() if not p.required]
        outputs = cls.outputs()
        lines = [cls.node_type, f"  {inspect.cleandoc(cls.__doc__ or '')}".split("\n\n", maxsplit=1)[0].rstrip()]
        lines.append(f"  needs: {', '.join(needs) or 'nothing'}")
        lines.append(f"  accepts: {', '.join(accepts) or 'nothing else'}")
        shown = "decided by the run" if outputs is None else ", ".join(
            f"{name}: {type_text(kind)}" for name, kind in outputs.items()
        )  # fmt: skip
        lines.append(f"  returns: {shown}")
        return "\n".join(line for line in lines if line.strip())

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the inputs."""
        properties: dict[str, Any] = {}
        for parameter in cls.parameters().values():
            properties[parameter.name] = _json_schema_of(parameter)
        required = [p.name for p in cls.parameters().values() if p.required]
        return {
            "title": cls.node_type,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": cls.open_inputs,
        }

    @classmethod
    def check_inputs(cls, values: Mapping[str, Any], connected: Collection[str]) -> list[str]:
        """Return the problems of given values and connected names; empty when fine."""
        parameters = cls.parameters()
        problems = []
        for name in (*values, *connected):
            if name not in parameters and not cls.open_inputs:
                nearest = did_you_mean(name, parameters)
                problems.append(f"there is no input {name!r}; {nearest}")
        for name, value in values.items():
            if name in parameters:
                problems += _misfit(parameters[name], value)
        return problems

    @classmethod
    def accept(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked values in the declared types."""
        parameters = cls.parameters()
        return {
            name: parameters[name].adapter.validate_python(value) if name in parameters else value
            for name, value in values.items()
        }

    @classmethod
    def spellings(cls, name: str) -> Collection[str]:
        """Return all accepted spellings of an input."""
        return (name,)

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Return the problems of inputs that are neither given nor connected."""
        return [
            f"input {parameter.name!r} ({parameter.type_name}) is neither given nor connected"
            for parameter in cls.parameters().values()
            if parameter.required and parameter.name not in given
        ]

    @classmethod
    def input_type(cls, name: str) -> Any:
        """Return the declared type of an input; Any for unknown ones."""
        parameter = cls.parameters().get(name)
        return Any if parameter is None else parameter.annotation


def _is_mapping(annotation: Any) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _misfit(parameter: NodeParameter, value: Any) -> list[str]:
    try:
        parameter.adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        return [f"input {parameter.name!r} must be {parameter.type_name}: {reason} (got {value!r})"]
    return []


def _json_schema_of(parameter: NodeParameter) -> dict[str, Any]:
    try:
        schema = parameter.adapter.json_schema()
    except (ValueError, PydanticJsonSchemaWarning):
        schema = {}
    if not parameter.required and isinstance(parameter.default, str | int | float | bool | None):
        schema = {**schema, "default": parameter.default}
    if parameter.description:
        schema = {**schema, "description": parameter.description}
    return schema


def read_signature(
    function: Any, *, skip_self: bool = False
) -> tuple[dict[str, NodeParameter], Any, bool]:
    """Return parameters, return type and whether any name is accepted.

    Annotations that cannot be resolved count as `Any`.
    """
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:
        hints = {}
    parameters: dict[str, NodeParameter] = {}
    open_inputs = False
    for place, item in enumerate(signature.parameters.values()):
        if item.kind is item.VAR_KEYWORD:
            open_inputs = True
        elif not (skip_self and place == 0) and item.kind is not item.VAR_POSITIONAL:
            default = REQUIRED if item.default is item.empty else item.default
            parameters[item.name] = NodeParameter(item.name, hints.get(item.name, Any), default)
    return parameters, hints.get("return", Any), open_inputs
