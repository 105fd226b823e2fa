"""What the nine nodes of a model have in common: names of inputs, and their checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from dataflow.errors import (
    DatabaseError,
    DefinitionError,
    ParameterError,
    did_you_mean,
)
from dataflow.models.spec import ModelSpec
from dataflow.nodes.effects import Effects
from dataflow.nodes.node import Node
from dataflow.nodes.parameter import NodeParameter
from dataflow.query.filters import Filter
from dataflow.records.bulk import Bulk
from dataflow.records.requests import where_some
from dataflow.records.store import Store

__all__ = ["FILTER", "ModelNode", "option"]


def option(
    name: str, annotation: Any, default: Any = None, *aliases: str, about: str | None = None
) -> NodeParameter:
    """Return an input of a model node that is not a field."""
    return NodeParameter(name, annotation, default, about, aliases)


FILTER = option("filter", dict[str, Any] | None, None, "conditions", "where")
INCLUDE_DELETED = option("include_deleted", bool, False)


class ModelNode(Node):
    """Base of the nine; `type(name, (CreateNode,), {"spec": …})` makes one for a model.

    A name among the inputs means, in this order: a field of the model (where the node
    takes fields), the primary key (where it selects by key), an option or one of its
    accepted spellings. Anything else is refused.
    """

    suffix: ClassVar[str] = ""
    options: ClassVar[tuple[NodeParameter, ...]] = ()
    takes_fields: ClassVar[bool] = False
    takes_key: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    blocking: ClassVar[bool] = False
    mutates_inputs: ClassVar[bool] = False

    spec: ClassVar[ModelSpec]
    store: ClassVar[Store]
    bulk: ClassVar[Bulk]
    _names: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def bind(cls, store: Store, bulk: Bulk, effects: Effects) -> type[ModelNode]:
        """Return the node class of this verb for a model."""
        spec = store.spec
        return type(
            f"{spec.name}{cls.suffix}",
            (cls,),
            {
                "__module__": cls.__module__,
                "__doc__": cls.__doc__,
                "spec": spec,
                "store": store,
                "bulk": bulk,
                "effects": effects,
                "database": store.database,
                "open_inputs": False,
                "_names": cls._spellings(spec),
            },
        )

    @classmethod
    def _spellings(cls, spec: ModelSpec) -> dict[str, str]:
        """Return `{spelling: "field:x" | "key:x" | "option:x"}`."""
        names: dict[str, str] = {}
        for item in cls.options:
            for spelling in (item.name, *item.aliases):
                names[spelling] = f"option:{item.name}"
        if cls.takes_key:
            single = len(spec.key) == 1
            for spelling in ("id", "record_id") if single else ():
                names[spelling] = f"key:{spec.key[0]}"
        if cls.takes_fields:
            names |= {name: f"field:{name}" for name in spec.fields}
        if cls.takes_key:
            names |= {name: f"key:{name}" for name in spec.key}
        return names

    # ----------------------------------------------------------------- schema

    @classmethod
    def parameters(cls) -> dict[str, NodeParameter]:
        """Return key, fields and options, required ones first."""
        spec = cls.spec
        found: list[NodeParameter] = []
        if cls.takes_key:
            found += [NodeParameter(name, spec.fields[name].annotation, None) for name in spec.key]
        if cls.takes_fields:
            found += [item for item in cls._field_parameters() if item.name not in spec.key or not cls.takes_key]
        by_name = {item.name: item for item in found}
        for item in cls.options:
            by_name.setdefault(item.name, item)
        return dict(sorted(by_name.items(), key=lambda pair: not pair[1].required))

    @classmethod
    def _field_parameters(cls) -> list[NodeParameter]:
        return [
            NodeParameter(name, field.annotation, None, field.info.description)
            for name, field in cls.spec.fields.items()
        ]

    @classmethod
    def record_outputs(cls, *flags: str) -> dict[str, Any]:
        """Return the outputs of a node that returns a record, with boolean flags."""
        fields = {name: field.annotation for name, field in cls.spec.fields.items()}
        return {**{cls.flag(flag): bool for flag in flags}, **fields}

    @classmethod
    def flag(cls, name: str) -> str:
        """Return the output name of a flag; it gives way to a field of that name."""
        return f"{name}_" if name in cls.spec.fields else name

    @classmethod
    def input_type(cls, name: str) -> Any:
        """Return the type of a field, key or option, by any accepted spelling."""
        kind, _, target = cls._names.get(name, "").partition(":")
        if kind in ("field", "key"):
            return cls.spec.fields[target].annotation
        return super().input_type(target or name)

    @classmethod
    def accept(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values as they are: every verb validates its own."""
        return dict(values)

    @classmethod
    def spellings(cls, name: str) -> Collection[str]:
        """Return all accepted spellings of an input."""
        meaning = cls._names.get(name)
        return [other for other, found in cls._names.items() if found == meaning]

    # ----------------------------------------------------------------- checks

    @classmethod
    def check_inputs(cls, values: Mapping[str, Any], connected: Collection[str]) -> list[str]:
        """Return every problem that can be known without running."""
        problems = [
            f"there is no input {name!r}; {did_you_mean(name, cls._accepted())}"
            for name in (*values, *connected)
            if name not in cls._names
        ]
        if problems:
            return problems
        try:
            fields, key, options = cls.sort_inputs(values)
            cls.check_values(fields, key, options, connected)
            kinds = {cls._names[name].partition(":")[0] for name in connected}
            chosen = {cls._names[name] for name in connected}
            if cls.takes_key and "key" not in kinds and "option:filter" not in chosen:
                cls._check_selection(key, options)
        except (DefinitionError, DatabaseError) as error:
            return [_one_line(error).removeprefix(f"{cls.node_type}: ")]
        return []

    @classmethod
    def _check_selection(cls, key: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Refuse a selection that is given, but wrong; an absent one may be connected."""
        if "filter" in options or set(key) == set(cls.spec.key):
            cls.select(key, options)

    @classmethod
    def check_values(
        cls,
        fields: Mapping[str, Any],
        key: Mapping[str, Any],
        options: Mapping[str, Any],
        connected: Collection[str],
    ) -> None:
        """Raise for values that cannot be right; verbs add their own rules."""
        cls._check_field_values({**fields, **key})
        for item in cls.options:
            if item.name in options and not item.name.startswith(("fields", "data")):
                _check_option(item, options[item.name])
        if "filter" in options:
            cls.store.where(options["filter"])

    @classmethod
    def _check_field_values(cls, values: Mapping[str, Any]) -> None:
        problems: list[Any] = []
        for name, value in values.items():
            field = cls.spec.field(name)
            try:
                cls.store.validator.value(field, value)
            except DatabaseError as error:
                problems += getattr(error, "problems", ())
        if problems:
            raise cls.store.validator.refuse(problems)

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Model nodes have their own rules; none is missing by default."""
        del given
        return []

    @classmethod
    def _accepted(cls) -> Iterable[str]:
        return cls._names

    # -------------------------------------------------------------- run inputs

    @classmethod
    def sort_inputs(
        cls, inputs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return inputs as fields, key and options, each under its own name.

        Raises:
            ParameterError: For an unknown name, or one thing given in two spellings.
        """
        parts: dict[str, dict[str, Any]] = {"field": {}, "key": {}, "option": {}}
        for name, value in inputs.items():
            found = cls._names.get(name)
            if found is None:
                raise cls.refuse(f"there is no input {name!r}.", did_you_mean(name, cls._names))
            kind, _, target = found.partition(":")
            if target in parts[kind]:
                raise cls.refuse(f"input {target!r} is given twice, once as {name!r}.")
            parts[kind][target] = value
        return parts["field"], parts["key"], parts["option"]

    @classmethod
    def select(cls, key: Mapping[str, Any], options: Mapping[str, Any]) -> Filter:
        """Return the filter that key or filter inputs mean.

        Raises:
            UnfilteredWriteError: For a write whose filter is missing or empty.
        """
        given = options.get("filter")
        if key and given is not None:
            raise cls.refuse("give the key or a filter, not both.")
        if key:
            return cls.store.where_key(dict(key) if len(cls.spec.key) > 1 else next(iter(key.values())))
        if cls.writes:
            return where_some(cls.store, given, cls.suffix.removesuffix("Node"))
        where = cls.store.where(given)
        if not where.shape:
            raise cls.refuse(f"give {' and '.join(cls.spec.key)}, or a filter.")
        return where

    @classmethod
    def refuse(cls, problem: str, advise: str | None = None) -> ParameterError:
        """Return the error for wrong inputs of this node type."""
        return ParameterError(problem=f"{cls.node_type}: {problem}", advise=advise)


def _check_option(item: NodeParameter, value: Any) -> None:
    if item.annotation is Any:
        return
    try:
        item.adapter.validate_python(value, strict=False)
    except ValueError:
        problem = f"input {item.name!r} must be {item.type_name} (got {value!r})."
        raise ParameterError(problem=problem) from None


def _one_line(error: DefinitionError | DatabaseError) -> str:
    advice = error.advice()
    text = error.problem_text().replace("\n  ", " ")
    return f"{text} {advice[0].upper()}{advice[1:]}" if advice else text
