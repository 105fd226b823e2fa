"""What a repository is asked for: filters, order and pages; and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from dataflow.errors import ParameterError, did_you_mean, shown
from dataflow.query.filters import NOT_AN_EXPRESSION, is_expression
from dataflow.records.related import parse_names

__all__ = [
    "CursorPaginationParams",
    "CursorResult",
    "FilterOperator",
    "PaginationParams",
    "PaginationResult",
    "QueryFilter",
    "QueryOptions",
    "SortField",
]

T = TypeVar("T")
MAX_PER_PAGE = 10_000
_MOST = 2**40


class FilterOperator(StrEnum):
    """How a field is compared; the value is the operator of a filter document.

    `LIKE` and `ILIKE` take patterns with `%` and `_`; a text without them is searched
    for anywhere.
    """

    EQ = "$eq"
    NE = "$ne"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"
    NOT_IN = "$nin"
    LIKE = "$like"
    ILIKE = "$ilike"
    CONTAINS = "$contains"
    ICONTAINS = "$icontains"
    STARTS_WITH = "$startswith"
    ENDS_WITH = "$endswith"
    BETWEEN = "$between"
    IS_NULL = "$null"
    REGEX = "$regex"


_ANYWHERE = {FilterOperator.LIKE: "$contains", FilterOperator.ILIKE: "$icontains"}


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """One condition: a field, an operator and a value.

    Raises:
        ParameterError: For an unknown operator, or a field without a name.
    """

    field: str
    operator: FilterOperator | str = FilterOperator.EQ
    value: Any = None

    def __post_init__(self) -> None:
        """Take operators by name, too: `"ilike"`, `"gte"`."""
        checked_name(self.field)
        if not isinstance(self.operator, FilterOperator):
            object.__setattr__(self, "operator", _operator(self.operator))

    def document(self) -> dict[str, Any]:
        """Return the condition as a filter document."""
        operator = FilterOperator(self.operator)
        if operator is FilterOperator.IS_NULL:
            return {self.field: {"$null": self.value is not False}}
        plain = isinstance(self.value, str) and not {"%", "_"} & set(self.value)
        name = _ANYWHERE.get(operator) if plain else None
        return {self.field: {name or operator.value: self.value}}


def checked_name(name: Any) -> str:
    """Return what names a field, or a part of one.

    Raises:
        ParameterError: If it is no text.
    """
    if isinstance(name, str):
        return name
    raise ParameterError(problem=f"the name of a field is a text, not {shown(name)}.")


def _operator(name: Any) -> FilterOperator:
    found = FilterOperator.__members__.get(str(name).upper())
    if found is None and name in list(FilterOperator):
        found = FilterOperator(name)
    if found is None:
        known = [member.lower() for member in FilterOperator.__members__]
        raise ParameterError(
            problem=f"there is no filter operator {name!r}.", advise=did_you_mean(str(name), known)
        )
    return found


@dataclass(frozen=True, slots=True)
class SortField:
    """One part of an order."""

    field: str
    direction: Literal["asc", "desc"] = "asc"


@dataclass(frozen=True, slots=True)
class PaginationParams:
    """A page by its number.

    Args:
        page: From 1.
        per_page: Records on a page, from 1 to 10,000.
        count: Whether the total is counted.

    Raises:
        ParameterError: For a number out of range.
    """

    page: int = 1
    per_page: int = 20
    count: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        _check_number("page", self.page, _MOST)
        _check_number("per_page", self.per_page, MAX_PER_PAGE)

    @property
    def offset(self) -> int:
        """How many records stand before the page."""
        return (self.page - 1) * self.per_page


@dataclass(frozen=True, slots=True)
class CursorPaginationParams:
    """A page by the place where the one before it ended.

    Args:
        limit: Records on a page, from 1 to 10,000.
        cursor: `next_cursor` of the page before; None: the first page.
        cursor_field: The field that decides the order; the key decides among equals.
        direction: `"asc"` or `"desc"`.

    Raises:
        ParameterError: For a number out of range.
    """

    limit: int = 20
    cursor: str | None = None
    cursor_field: str = "created_at"
    direction: Literal["asc", "desc"] = "asc"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        _check_number("limit", self.limit, MAX_PER_PAGE)


def _check_number(name: str, value: Any, most: int, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ParameterError(
            problem=f"{name} must be a whole number from {least} to {most} (got {shown(value)})."
        )


Filters = Mapping[str, Any] | Sequence[QueryFilter] | None


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """All that a list may be asked for.

    Args:
        filters: Conditions that must all hold: `QueryFilter`s, or a filter document.
        sorts: The order; the key decides among equals. One or several.
        pagination: A page by number, also as a dict: `{"page": 1, "per_page": 20}`.
        skip: Records to pass over, where no page is asked for.
        limit: Records to return at most, where no page is asked for; None: all.
        cursor_pagination: A page by cursor, also as a dict.
        include: Names of links to load, or one name.
        include_deleted: Whether records of soft-delete models that are deleted are seen.

    Raises:
        ParameterError: For an unknown part of a dict, or a number out of range.
        FilterError: For links that are no names.
    """

    filters: Filters = None
    sorts: Sequence[SortField | str] | SortField = ()
    pagination: PaginationParams | Mapping[str, Any] | None = None
    cursor_pagination: CursorPaginationParams | Mapping[str, Any] | None = None
    include: Sequence[str] = ()
    include_deleted: bool = False
    skip: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        """Make the dicts what they stand for."""
        _replace(self, "pagination", PaginationParams)
        _replace(self, "cursor_pagination", CursorPaginationParams)
        _check_number("skip", self.skip, _MOST, 0)
        if self.limit is not None:
            _check_number("limit", self.limit, _MOST, 0)
        if isinstance(self.sorts, str | SortField):
            object.__setattr__(self, "sorts", (self.sorts,))
        elif not isinstance(self.sorts, list | tuple):
            raise ParameterError(
                problem=f"sorts must be SortFields or names of fields, not {shown(self.sorts)}."
            )
        object.__setattr__(self, "include", parse_names(self.include, "include") or ())

    def document(self) -> dict[str, Any]:
        """Return the filters as one filter document."""
        return filter_document(self.filters)

    def order(self) -> list[Any]:
        """Return the order as a list's `sort` takes it, which refuses what is none."""
        sorts = (self.sorts,) if isinstance(self.sorts, SortField) else self.sorts
        return [asdict(sort) if isinstance(sort, SortField) else sort for sort in sorts]

    def window(self) -> tuple[int, int | None]:
        """Return how many records to pass over, and how many to return; None: all."""
        page = self.page
        return (self.skip, self.limit) if page is None else (page.offset, page.per_page)

    @property
    def page(self) -> PaginationParams | None:
        """The page by number."""
        return self.pagination if isinstance(self.pagination, PaginationParams) else None

    @property
    def after(self) -> CursorPaginationParams | None:
        """The page by cursor."""
        found = self.cursor_pagination
        return found if isinstance(found, CursorPaginationParams) else None


def _replace(options: QueryOptions, name: str, kind: type[Any]) -> None:
    value = getattr(options, name)
    if isinstance(value, Mapping):
        for key in value:
            if key not in kind.__dataclass_fields__:
                raise ParameterError(
                    problem=f"{name} has no {key!r}.",
                    advise=did_you_mean(str(key), kind.__dataclass_fields__),
                )
        object.__setattr__(options, name, kind(**value))
    elif not isinstance(value, kind | None):
        raise ParameterError(
            problem=f"{name} must be a {kind.__name__} or a dict, not {shown(value)}."
        )


def filter_document(filters: Filters) -> dict[str, Any]:
    """Return filters in any accepted form as one filter document.

    Raises:
        ParameterError: For anything else.
    """
    if filters is None:
        return {}
    if isinstance(filters, Mapping):
        return dict(filters)
    given: list[Any] = list(filters) if isinstance(filters, list | tuple) else [filters]
    for item in given:
        if not isinstance(item, QueryFilter):
            kind = "an SQL expression" if is_expression(item) else shown(item)
            raise ParameterError(
                problem=f"filters must be QueryFilters or a filter document, not {kind}.",
                advise=NOT_AN_EXPRESSION if is_expression(item) else None,
            )
    documents = [item.document() for item in given]
    return documents[0] if len(documents) == 1 else {"$and": documents} if documents else {}


@dataclass(frozen=True, slots=True)
class PaginationResult(Generic[T]):
    """A page by number.

    Attributes:
        total: How many records there are in all; None if it was not counted.
    """

    items: list[T] = field(default_factory=list)
    total: int | None = None
    page: int = 1
    per_page: int = 20
    has_next: bool = False

    @property
    def pages(self) -> int | None:
        """How many pages there are; None if the total was not counted."""
        return None if self.total is None else -(-self.total // self.per_page)

    @property
    def has_prev(self) -> bool:
        """Whether there is a page before."""
        return self.page > 1

    def __iter__(self) -> Iterator[T]:
        """Yield the records of the page."""
        return iter(self.items)

    def __len__(self) -> int:
        """Return how many records are on the page."""
        return len(self.items)


@dataclass(frozen=True, slots=True)
class CursorResult(Generic[T]):
    """A page by cursor.

    Attributes:
        next_cursor: Where the next page begins; None on the last page.
    """

    items: list[T] = field(default_factory=list)
    next_cursor: str | None = None

    @property
    def has_more(self) -> bool:
        """Whether there is a page after."""
        return self.next_cursor is not None

    def __iter__(self) -> Iterator[T]:
        """Yield the records of the page."""
        return iter(self.items)

    def __len__(self) -> int:
        """Return how many records are on the page."""
        return len(self.items)
