"""Links, loaded on request with one statement per link, however many records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.sql import operators

from dataflow.errors import FilterError, OptionError, UnknownFieldError
from dataflow.models.spec import ModelSpec
from dataflow.query.filters import Filter
from dataflow.query.sort import Sort
from dataflow.records.listing import ListRequest

__all__ = ["Related", "parse_names", "root_names"]


class _Listing(Protocol):
    spec: ModelSpec
    related: Related

    def where(self, filter: Any, at: str | None = None) -> Filter: ...

    async def list(self, request: ListRequest) -> dict[str, Any]: ...


class _Join(NamedTuple):
    """How a link is followed: equal values of two fields."""

    here: str
    there: str
    many: bool
    store: Any
    sort: Sort = ()


def parse_names(value: Any, what: str, at: str | None = None) -> tuple[str, ...] | None:
    """Return a list of names as a tuple; a single text is a list of one.

    Raises:
        FilterError: If it is anything else.
    """
    if value is None:
        return None
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise FilterError(problem=f"{what} must be a list of names, not {value!r}.", at=at)
    return tuple(names)


def root_names(include: Iterable[str]) -> tuple[str, ...]:
    """Return the first names of dotted links, once each."""
    return tuple(dict.fromkeys(path.partition(".")[0] for path in include))


def _pairs(owner: ModelSpec, referred: ModelSpec, foreign_key: str | None) -> list[tuple[str, str]]:
    """Return the fields of one model that are foreign keys to the other, with their targets."""
    return [
        (field.name, target.name)
        for field in owner.fields.values()
        for key in field.column.foreign_keys
        for target in referred.fields.values()
        if key.target_fullname == f"{referred.table.fullname}.{target.column.name}"
        and foreign_key in (None, field.name)
    ]


def _field_of(spec: ModelSpec, column: Any) -> str | None:
    return next((f.name for f in spec.fields.values() if f.column.shares_lineage(column)), None)


def _is_plain(condition: Any) -> bool:
    """Whether a condition says that one column equals another, and nothing else."""
    equal = getattr(condition, "operator", None) is operators.eq
    return equal and all(isinstance(s, sa.Column) for s in (condition.left, condition.right))


def _sorted_by(spec: ModelSpec, order: Any) -> Any:
    """Return a field by which SQLAlchemy sorts, and how; None for anything else."""
    descending = getattr(order, "modifier", None) is operators.desc_op
    if getattr(order, "modifier", None) in (operators.desc_op, operators.asc_op):
        order = order.element
    name = _field_of(spec, order) if isinstance(order, sa.Column) else None
    return None if name is None else (name, descending)


class Related:
    """Loads the links of one model's records."""

    def __init__(self, spec: ModelSpec, stores: Callable[[str], Any]) -> None:
        """Keep the model and the way to other models' stores."""
        self._spec = spec
        self._stores = stores
        self._joins: dict[str, _Join] = {}

    def check(self, include: Iterable[str], at: str | None = None) -> None:
        """Check names of links, dotted ones too.

        Raises:
            UnknownFieldError: For a link that the model lacks.
        """
        for path in include:
            name, _, rest = path.partition(".")
            if name not in self._spec.relationships:
                raise UnknownFieldError(
                    name=name, model=self._spec.name, known=self._spec.link_names, at=at
                )
            if rest:
                self._join(name).store.related.check([rest], at)

    def with_keys(self, fields: Sequence[str], include: Sequence[str]) -> tuple[str, ...]:
        """Return the fields and those that following the links needs."""
        needed = (self._join(path.partition(".")[0]).here for path in include)
        return tuple(dict.fromkeys((*fields, *needed)))

    async def load(self, records: Sequence[dict[str, Any]], include: Sequence[str]) -> None:
        """Put the linked records into each record, under the link's name."""
        nested: dict[str, list[str]] = defaultdict(list)
        for path in include:
            name, _, rest = path.partition(".")
            nested[name] += [rest] if rest else []
        for name, deeper in nested.items():
            await self._load_one(records, name, tuple(deeper))

    async def _load_one(
        self, records: Sequence[dict[str, Any]], name: str, deeper: tuple[str, ...]
    ) -> None:
        join = self._join(name)
        keys = list(dict.fromkeys(r[join.here] for r in records if r[join.here] is not None))
        groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        if keys:
            store: _Listing = join.store
            where = store.where({join.there: {"$in": keys}})
            request = ListRequest(where=where, sort=join.sort, limit=None, include=deeper)
            page = await store.list(request)
            for found in page["records"]:
                groups[found[join.there]].append(found)
        for record in records:
            matches = groups.get(record[join.here], [])
            record[name] = list(matches) if join.many else next(iter(matches), None)

    def _join(self, name: str) -> _Join:
        join = self._joins.get(name)
        target = self._stores(self._spec.relationships[name].target)
        if join is None or join.store is not target:  # a notebook may have replaced the model
            join = self._joins[name] = self._find_join(name)
        return join

    def _find_join(self, name: str) -> _Join:
        link = self._spec.relationships[name]
        store: _Listing = self._stores(link.target)
        if link.mapped:
            return self._mapped_join(name, store)
        pairs = _pairs(self._spec, store.spec, link.foreign_key)
        if not link.many and len(pairs) == 1:
            ((key, target),) = pairs
            return _Join(key, target, many=False, store=store)
        reverse = _pairs(store.spec, self._spec, link.foreign_key)
        if (link.many or not pairs) and len(reverse) == 1:
            ((key, target),) = reverse
            return _Join(target, key, many=True, store=store)
        owner, referred = (store.spec, self._spec) if link.many else (self._spec, store.spec)
        raise self._unclear(name, owner, referred, len(reverse if link.many else pairs))

    def _mapped_join(self, name: str, store: _Listing) -> _Join:
        """Return how the author of a mapped class says that a link is followed."""
        link: Any = sa.inspect(self._spec.model).relationships[name]
        here, there = (
            _field_of(spec, column)
            for spec, column in zip(
                (self._spec, store.spec), link.local_remote_pairs[0], strict=True
            )
        )
        sort = [_sorted_by(store.spec, column) for column in link.order_by or ()]
        problem = None
        if link.secondary is not None:
            problem = "it leads by way of a table of its own."
        elif not _is_plain(link.primaryjoin) or here is None or there is None:
            problem = "it is more than one field that equals another."
        elif None in sort:
            problem = "it is sorted by more than fields."
        if problem is not None or here is None or there is None:
            raise OptionError(
                model=self._spec.name,
                problem=f"the link {name!r} cannot be followed: {problem}",
                advise="load it in a session, with selectinload()",
                at=self._spec.location,
            )
        return _Join(here, there, many=bool(link.uselist), store=store, sort=tuple(sort))

    def _unclear(self, name: str, owner: ModelSpec, referred: ModelSpec, found: int) -> OptionError:
        text = f"{owner.name} has {found or 'no'} foreign keys to {referred.name}."
        advise = f"declare one: Field(foreign_key='{referred.table.name}.{referred.key[0]}')"
        if found:
            advise = "say which: Relationship(foreign_key='…')"
        return OptionError(
            model=self._spec.name,
            problem=f"the link {name!r} cannot be followed: {text}",
            advise=advise,
            at=self._spec.location,
        )
