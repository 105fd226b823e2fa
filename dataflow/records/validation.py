"""Validation of records by pydantic, once, at the edge; the driver sees typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, NotRequired, Required

import sqlalchemy as sa
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import PydanticCustomError
from sqlalchemy.types import TypeEngine
from typing_extensions import TypedDict

from dataflow.errors import (
    DataValueError,
    ParameterError,
    RecordValidationError,
    did_you_mean,
    shown,
)
from dataflow.models.annotations import KeyText, validated_annotation
from dataflow.models.columntypes import EncodedJson, JsonValue, TextKey
from dataflow.models.fields import MISSING, FieldInfo
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.records.encoding import is_uniform
from dataflow.records.tenants import TenantRule

__all__ = ["Comparisons", "Problem", "Validator"]

Problem = tuple[int | None, str, str, Any]
Limits = Callable[[TypeEngine[Any]], tuple[int, int] | None]
_SETTINGS = ConfigDict(
    extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, arbitrary_types_allowed=True
)
_KNOWN: ConfigDict = {**_SETTINGS, "extra": "ignore"}
"""For rows that are known to have no unknown fields."""
_MASK = "***"


class Validator:
    """The pydantic adapters of one model, built at first use.

    Records and changes come back as their columns take them: documents are encoded,
    because only that tells whether JSON can carry them.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tenant: TenantRule | None = None,
        *,
        encode: bool = True,
        limits: Limits | None = None,
    ) -> None:
        """Keep the model; adapters cost milliseconds and are built when needed.

        Args:
            spec: The model.
            tenant: Whose records they must be.
            encode: Whether documents are encoded; else they stay as SQLAlchemy takes them.
            limits: Of whole numbers, by a column's type; None: 64 bits for all.
        """
        self.spec = spec
        self._tenant = tenant
        self._encode = encode
        self._limits = limits
        self._kept = _kept_fields(spec)
        self._fields: dict[str, TypeAdapter[Any]] = {}
        self._batches: dict[tuple[bool, bool], TypeAdapter[list[dict[str, Any]]]] = {}
        self.comparisons = Comparisons(self)

    def _row_type(self, *, update: bool, known: bool = False) -> Any:
        fields = self.spec.fields.items()
        if update:
            hints = {name: NotRequired[self._update_hint(field)] for name, field in fields}
        else:
            hints = {name: self._create_hint(field) for name, field in fields}
        return with_config(_KNOWN if known else _SETTINGS)(TypedDict(self.spec.name, hints))  # type: ignore[operator]  # built from data

    def _hint(self, field: FieldSpec) -> Any:
        """Return a field's annotation; a tenant must be that of the call."""
        annotation = self._annotation(field)
        if field.name in self._kept:
            annotation = Annotated[annotation, BeforeValidator(_refuse_kept)]
        if self._tenant is None or field.name != self._tenant.name:
            return annotation
        return Annotated[annotation, AfterValidator(partial(_own_tenant, self._tenant))]

    def _annotation(self, field: FieldSpec) -> Any:
        limits = self._limits(field.column.type) if self._limits is not None else None
        if limits is not None and field.declared is int:
            info = FieldInfo(ge=limits[0], le=limits[1])
            return validated_annotation(int, int, info, nullable=field.nullable)
        stored = _stored(field)
        if self._encode or not isinstance(field.column.type, JsonValue):
            return stored
        return Annotated[field.annotation, AfterValidator(partial(_encodable, field.column.type))]

    def _update_hint(self, field: FieldSpec) -> Any:
        made = _is_always_made(field) and not field.info.primary_key  # a key says which record
        annotation = self._hint(field)
        return Annotated[annotation, BeforeValidator(_refuse_made)] if made else annotation

    def _create_hint(self, field: FieldSpec) -> Any:
        annotation = self._hint(field)
        if _is_always_made(field):
            annotation = Annotated[annotation, BeforeValidator(_refuse_made)]
        if self._tenant is not None and field.generated == "database":
            annotation = Annotated[annotation, BeforeValidator(_refuse_key)]
        return _with_default(field, annotation)

    @cached_property
    def _create(self) -> TypeAdapter[dict[str, Any]]:
        return TypeAdapter(self._row_type(update=False))

    @cached_property
    def _update(self) -> TypeAdapter[dict[str, Any]]:
        return TypeAdapter(self._row_type(update=True))

    def _many(self, rows: Sequence[Any], *, update: bool) -> TypeAdapter[list[dict[str, Any]]]:
        """Return the adapter for a batch, which is built at first use.

        Looking for unknown fields takes a third of the time of validating a row; where
        all rows have the fields of the first one, looking at that one is enough.
        """
        alike = set(map(type, rows)) == {dict} and is_uniform(rows)
        known = alike and rows[0].keys() <= self.spec.fields.keys()
        adapter = self._batches.get((update, known))
        if adapter is None:
            adapter = TypeAdapter(list[self._row_type(update=update, known=known)])  # type: ignore[arg-type,misc]  # built from data
            self._batches[update, known] = adapter
        return adapter

    def record(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new record's values with defaults filled in.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        return self._validated(self._create, values)

    def changes(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of an update; only given fields.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        return self._validated(self._update, values)

    def expected_version(self, version: Any) -> None:
        """Refuse what cannot be the version that a record is expected at; None expects none.

        Raises:
            ParameterError: If it is no whole number, or the model has no versions.
        """
        if version is None:
            return
        if not self.spec.options.versioned:
            raise ParameterError(
                problem=f"model {self.spec.name!r} is not versioned, so expect_version has no use."
            )
        # Of anything else the databases make what they like, a rounded number perhaps.
        whole = isinstance(version, int) and not isinstance(version, bool)
        if not whole or not -(2**63) <= version < 2**63:
            raise ParameterError(
                problem=f"expect_version must be a whole number of 64 bits (got {shown(version)})."
            )

    @cached_property
    def _held(self) -> TypeAdapter[dict[str, Any]]:
        fields = self.spec.fields.items()
        hints = {name: NotRequired[self._annotation(field)] for name, field in fields}
        return TypeAdapter(with_config(_KNOWN)(TypedDict(self.spec.name, hints)))  # type: ignore[operator]  # built from data

    def held(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values of an object in their fields' types, whoever they are about.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        return self._validated(self._held, values)

    def _validated(self, adapter: TypeAdapter[dict[str, Any]], values: Any) -> dict[str, Any]:
        try:
            return adapter.validate_python(values)
        except ValidationError as error:
            raise self._refusal(self._problems(error, many=False)) from None

    def value(self, field: FieldSpec, value: Any) -> Any:
        """Return one value in its field's type, within its bounds.

        Raises:
            RecordValidationError: If it does not fit.
        """
        adapter = self._fields.get(field.name)
        if adapter is None:
            adapter = self._fields[field.name] = TypeAdapter(self._annotation(field))
        return self.checked(adapter, field, value)

    def checked(self, adapter: TypeAdapter[Any], field: FieldSpec, value: Any) -> Any:
        """Return a value that an adapter accepts.

        Raises:
            RecordValidationError: If it does not.
        """
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise self.refusal_of(error, field) from None

    def refusal_of(self, error: ValidationError, field: FieldSpec) -> RecordValidationError:
        """Return our error for pydantic's about one field."""
        return self._refusal(self._problems(error, many=False, field=field.name))

    def records(
        self, rows: Sequence[Any], offset: int, *, update: bool = False
    ) -> tuple[list[dict[str, Any]], list[int], list[Problem]]:
        """Validate a batch in one call.

        Args:
            rows: Dictionaries.
            offset: Index of the first row in the whole call, for problems.
            update: Whether rows hold changes instead of new records.

        Returns:
            The valid rows, their positions in the batch, and all problems.
        """
        adapter = self._many(rows, update=update)
        try:
            return adapter.validate_python(rows), list(range(len(rows))), []
        except ValidationError as error:
            problems = self._problems(error, many=True)
        bad = {problem[0] for problem in problems}
        positions = [index for index in range(len(rows)) if index not in bad]
        valid = adapter.validate_python([rows[index] for index in positions])
        moved: list[Problem] = [
            ((index or 0) + offset, field, reason, value)
            for index, field, reason, value in problems
        ]
        return valid, positions, moved

    def refuse(self, problems: Sequence[Problem]) -> RecordValidationError:
        """Return the error for problems found."""
        return self._refusal(problems)

    def _refusal(self, problems: Sequence[Problem]) -> RecordValidationError:
        return RecordValidationError(
            model=self.spec.name, problems=tuple(problems), advise=self._advice(problems)
        )

    def _advice(self, problems: Sequence[Problem]) -> str | None:
        for _, field, reason, _ in problems:
            if reason == _UNKNOWN:
                return f"for {field!r}, {did_you_mean(field, self.spec.fields)}"
        return None

    def _problems(
        self, error: ValidationError, *, many: bool, field: str | None = None
    ) -> list[Problem]:
        problems: list[Problem] = []
        for item in error.errors(include_url=False, include_context=False):
            place = list(item["loc"])
            index = int(place.pop(0)) if many and place else None
            name = field or (str(place[0]) if place else "record")
            value = self.shown(name, None if item["type"] == "missing" else item["input"])
            reason = _REASONS.get(item["type"]) or item["msg"]
            problems.append((index, ".".join([name, *map(str, place[1:])]), reason, value))
        return problems

    def shown(self, name: str, value: Any) -> Any:
        """Return a value as errors may show it: secrets are masked."""
        field = self.spec.fields.get(name)
        if field is None and isinstance(value, Mapping):
            return f"{type(value).__name__} of {len(value)} fields"
        return _MASK if field is not None and field.info.secret else value


class Comparisons:
    """Checks values that are compared with fields: of the field's type, but of any size."""

    def __init__(self, validator: Validator) -> None:
        """Share the validator's way of refusing."""
        self._validator = validator
        self._single: dict[str, Callable[[Any], Any]] = {}
        self._lists: dict[str, TypeAdapter[list[Any]]] = {}

    def value(self, field: FieldSpec, value: Any) -> Any:
        """Return one value in its field's type.

        Raises:
            RecordValidationError: If it is of another type.
        """
        validate = self._single.get(field.name)
        if validate is None:
            # Without the adapter around it, whose call costs as much as the validation.
            validate = TypeAdapter(_unbounded(field)).validator.validate_python
            self._single[field.name] = validate
        try:
            return validate(value)
        except ValidationError as error:
            raise self._validator.refusal_of(error, field) from None

    def values(self, field: FieldSpec, values: list[Any]) -> list[Any]:
        """Return many values in their field's type, in one call.

        Raises:
            RecordValidationError: If one is of another type.
        """
        adapter = self._lists.get(field.name)
        if adapter is None:
            adapter = self._lists[field.name] = TypeAdapter(list[_unbounded(field)])  # type: ignore[arg-type,misc]  # built from data
        try:
            return adapter.validate_python(values)
        except ValidationError as error:
            index = error.errors(include_url=False)[0]["loc"][0]
            self.value(field, values[int(index)])
            raise


def _unbounded(field: FieldSpec) -> Any:
    if isinstance(field.column.type, sa.ARRAY):
        return field.annotation
    full = KeyText if isinstance(field.column.type, TextKey) else field.declared
    return validated_annotation(full, field.declared, FieldInfo(), nullable=False)


_UNKNOWN = "there is no such field"
_REASONS = {
    "extra_forbidden": _UNKNOWN,
    "missing": "a value is required",
    "string_unicode": "text cannot hold lone surrogates",
    "string_pattern_mismatch": None,
}


def _stored(field: FieldSpec) -> Any:
    """Return a field's annotation, for a document with its encoding."""
    kind = field.column.type
    if isinstance(kind, JsonValue):
        return Annotated[field.annotation, AfterValidator(partial(_encoded, kind))]
    if isinstance(kind, sa.JSON):
        return Annotated[field.annotation, AfterValidator(_document)]
    return field.annotation


def _encoded(kind: JsonValue, value: Any) -> EncodedJson | None:
    if value is None:
        return None
    try:
        return EncodedJson(kind.encode(value))
    except DataValueError as error:
        raise PydanticCustomError("json_document", "{reason}", {"reason": error.detail}) from None


def _encodable(kind: JsonValue, value: Any) -> Any:
    """Return a document that SQLAlchemy encodes later, if JSON can carry it."""
    _encoded(kind, value)
    return value


_document = partial(_encodable, JsonValue())


def _own_tenant(rule: TenantRule, value: Any) -> Any:
    if value != rule.value():
        raise PydanticCustomError("tenant", "is not the tenant of this call")
    return value


def _kept_fields(spec: ModelSpec) -> frozenset[str]:
    """Return the fields that say who acted, which no one may say of others."""
    if not spec.options.actors:
        return frozenset()
    return frozenset({"created_by", "updated_by", "deleted_by"} & spec.fields.keys())


def _refuse_kept(value: Any) -> Any:
    del value
    raise PydanticCustomError("kept", "DataFlow notes who acts: with db.acting(…)")


def _is_always_made(field: FieldSpec) -> bool:
    column = field.column
    identity = column.identity is not None and column.identity.always
    return bool(identity or column.computed is not None)


def _refuse_made(value: Any) -> Any:
    del value
    raise PydanticCustomError("made", "the database always makes this value")


def _refuse_key(value: Any) -> Any:
    """Refuse a key of the caller's choice, whose conflicts would tell of other tenants."""
    del value
    raise PydanticCustomError("generated", "the database generates the keys of tenants' records")


def _with_default(field: FieldSpec, annotation: Any) -> Any:
    if field.generated is not None or field.info.server_default is not None:
        return NotRequired[annotation]
    if field.default_factory is not None:
        made = Field(default_factory=field.default_factory, validate_default=True)
        return NotRequired[Annotated[annotation, made]]
    if field.default is not MISSING:
        return NotRequired[Annotated[annotation, Field(default=field.default)]]
    return Required[annotation]
