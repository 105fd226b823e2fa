"""`Field` and `Relationship`: what a person writes to the right of an annotation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack, cast, get_args

from dataflow.errors import ConfigurationError, did_you_mean

__all__ = ["MISSING", "Field", "FieldInfo", "FieldOptions", "Relationship", "RelationshipInfo"]


class _Missing:
    """The type of `MISSING`, which marks that no default was given."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
OnDelete = Literal["restrict", "cascade", "set_null"]


class FieldOptions(TypedDict, total=False):
    """The keyword arguments of `Field`, beside the default."""

    primary_key: bool
    unique: bool
    index: bool
    foreign_key: Any
    on_delete: OnDelete
    column: str
    max_length: int
    min_length: int
    pattern: str
    ge: Any
    gt: Any
    le: Any
    lt: Any
    max_digits: int
    decimal_places: int
    server_default: str
    secret: bool
    description: str


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """What `Field(...)` was told; the declaration turns it into a `FieldSpec`."""

    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    primary_key: bool = False
    unique: bool = False
    index: bool = False
    foreign_key: Any = None
    on_delete: OnDelete = "restrict"
    column: str | None = None
    max_length: int | None = None
    min_length: int | None = None
    pattern: str | None = None
    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    max_digits: int | None = None
    decimal_places: int | None = None
    server_default: str | None = None
    secret: bool = False
    description: str | None = None

    @property
    def has_default(self) -> bool:
        """Whether a value exists when the caller gives none."""
        return self.default is not MISSING or self.default_factory is not None

    def with_column(self, name: str) -> FieldInfo:
        """Return the same with a column name."""
        return replace(self, column=name)


_NAMES = tuple(FieldOptions.__annotations__)


def Field(  # noqa: N802 - reads as part of a declaration, as in pydantic and SQLModel
    default: Any = MISSING,
    *,
    default_factory: Callable[[], Any] | None = None,
    **options: Unpack[FieldOptions],
) -> Any:
    """Describe one field of a model.

    Args:
        default: Value when none is given; None makes sense only for optional fields.
        default_factory: Called for each record without a value.
        **options: `primary_key`; `unique`; `index`; `foreign_key`, a model class or
            `"table.column"`, with `on_delete` (`"restrict"`, `"cascade"`,
            `"set_null"`); `column`, the column's name if it differs; `max_length` and
            `min_length` in characters; `pattern`, a regular expression; the bounds
            `ge`, `gt`, `le`, `lt`; `max_digits` and `decimal_places` of a Decimal;
            `server_default`, an SQL expression; `secret`, to keep values out of
            errors and logs; `description`.

    Raises:
        ConfigurationError: For an unknown option.
    """
    for name in options:
        if name not in _NAMES:
            problem = f"Field() has no option {name!r}."
            raise ConfigurationError(problem=problem, advise=did_you_mean(name, _NAMES))
    if default is not MISSING and default_factory is not None:
        raise ConfigurationError(problem="Field() takes a default or a default_factory, not both.")
    _check_values(cast("dict[str, Any]", options), default_factory)
    return FieldInfo(
        default=default, default_factory=default_factory, **cast("dict[str, Any]", options)
    )


def _check_values(options: dict[str, Any], default_factory: Any) -> None:
    for name in ("max_length", "min_length", "max_digits", "decimal_places"):
        value = options.get(name, 1)
        least = 0 if name in ("min_length", "decimal_places") else 1
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            problem = f"Field({name}=…) must be a whole number from {least}, not {value!r}."
            raise ConfigurationError(problem=problem)
    if options.get("on_delete", "restrict") not in get_args(OnDelete):
        problem = f"Field(on_delete=…) must be one of {get_args(OnDelete)}."
        raise ConfigurationError(problem=problem)
    if default_factory is not None and not callable(default_factory):
        raise ConfigurationError(problem="Field(default_factory=…) must be callable.")
    try:
        re.compile(options.get("pattern", ""))
    except (re.error, TypeError) as error:
        raise ConfigurationError(
            problem=f"Field(pattern=…) is no regular expression: {error}."
        ) from None


@dataclass(frozen=True, slots=True)
class RelationshipInfo:
    """What `Relationship(...)` was told."""

    back_populates: str | None = None
    foreign_key: str | None = None


def Relationship(  # noqa: N802 - reads as part of a declaration
    *, back_populates: str | None = None, foreign_key: str | None = None
) -> Any:
    """Describe a link to one record (`author: User`) or many (`posts: list["Post"]`).

    Args:
        back_populates: The field of the other model that is the same link.
        foreign_key: The field that holds the key, where several could.
    """
    return RelationshipInfo(back_populates=back_populates, foreign_key=foreign_key)
