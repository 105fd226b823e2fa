"""Random filters in our spelling, with values that the documents have."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from mongomock.filtering import iter_key_candidates
from sentinels import NOTHING

from bench.faults.mongo.documents import ODD_KEY, WORDS, Document

Filter = dict[str, Any]


class Place(NamedTuple):
    """A field or a path into JSON, and what may stand there.

    Attributes:
        path: The dotted name.
        kind: `number`, `decimal`, `text`, `flag`, `instant` of a column; `json`; `objects`
            for an array of objects; `other` for what filters leave alone.
        null: Whether it may be null.
        missing: Whether it may be absent.
        ascii: Whether a text has letters that have upper and lower case everywhere.
        items: What a list holds.
    """

    path: str
    kind: str
    null: bool = False
    missing: bool = False
    ascii: bool = True
    items: str = "json"


COLUMNS = (
    Place("id", "number"), Place("name", "text", ascii=False), Place("city", "text", null=True),
    Place("age", "number", null=True), Place("price", "number", null=True),
    Place("amount", "decimal", null=True), Place("active", "flag"),
    Place("born", "instant", null=True),
)  # fmt: skip
JSON_PATHS = (
    "tags", "tags", "tags.0", "tags.2", "meta", "extra", "extra.note", "extra.list", "extra.list.1",
    "meta.prefs", "meta.prefs.theme", "meta.prefs.theme", "meta.prefs.size", "meta.prefs.flags",
    "meta.prefs.flags.0", "meta.score", "meta.level", "meta.mixed", "meta.vip", "meta.codes",
    "meta.items.qty", "meta.items.qty", "meta.items.sku", "meta.items.parts", "meta.items.opt",
    "meta.items.0.qty", "meta.items.1.parts.0", "meta.years.2020", "meta.odd", "meta.odd.x",
    f"meta.{ODD_KEY}", "meta.absent", "meta.score.absent",
)  # fmt: skip
PLACES = (
    *COLUMNS, *COLUMNS[1:],
    *(Place(path, "json", null=True, missing=True) for path in JSON_PATHS),
    *(Place("meta.items", "objects", null=True, missing=True) for _ in range(3)),
)  # fmt: skip
ELEMENT = (
    *(Place(path, "json", null=True, missing=True) for path in ("opt", "parts", "parts.0")),
    Place("qty", "json", null=True, missing=True), Place("sku", "json", missing=True),
)  # fmt: skip

COMPARE = ("$gt", "$gte", "$lt", "$lte")
TEXTS = ("$regex", "$like", "$ilike", "$startswith", "$endswith", "$contains", "$icontains")
MEMBERS = ("$eq", "$ne", "$in", "$nin", "$exists", "$null")
OPERATORS = {
    "number": (*MEMBERS, *COMPARE, *COMPARE, "$between"),
    "decimal": (*MEMBERS, *COMPARE, "$between"),
    "instant": (*MEMBERS, *COMPARE, "$between"),
    "flag": MEMBERS[:4],
    "text": (*MEMBERS, *COMPARE, *TEXTS, "$regex", "$between"),
    "json": (*MEMBERS, *COMPARE, *TEXTS, "$regex", "$between", "$size", "$all", "$elemMatch"),
    "objects": ("$elemMatch", "$elemMatch", "$elemMatch", "$size", "$exists", "$null"),
}
WITHIN = ("$eq", "$ne", "$in", "$nin", *COMPARE, "$between", "$regex", "$startswith", "$like")
ALONE = {"$regex", "$startswith", "$like", "$between"}
"""What mongomock takes once in an `$elemMatch` of scalars, where `$and` does not help."""
SINGLES = (str, int, float)
DEFAULTS = {
    "number": 5, "text": "Oslo", "flag": True, "decimal": Decimal(5),
    "instant": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
}  # fmt: skip


def is_single(value: Any) -> bool:
    """Whether a value is a number or a text, which every comparison takes."""
    return isinstance(value, SINGLES) and not isinstance(value, bool)


class Filters:
    """Makes filters over places, with values of the documents.

    Args:
        dice: Where chance comes from.
        documents: Where values come from.
        places: What is filtered.
        presence: Whether to ask if something is there.
    """

    def __init__(
        self,
        dice: random.Random,
        documents: Sequence[Document],
        places: Sequence[Place] = PLACES,
        *,
        presence: bool = True,
    ) -> None:
        self.dice = dice
        self.documents = documents
        self.places = places
        self.presence = presence

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def filter(self, depth: int = 0) -> Filter:
        """Return a filter of one to three entries."""
        count = self.dice.choice((1, 1, 1, 2, 2, 3) if depth == 0 else (1, 1, 2))
        found: Filter = {}
        for _ in range(count):
            found.update(self.entry(depth))
        return found

    def entry(self, depth: int) -> Filter:
        if depth < 3 and self.chance(0.25 if depth == 0 else 0.15):
            operator = self.dice.choice(("$and", "$or", "$or", "$nor", "$not"))
            if operator == "$not":
                return {"$not": self.filter(depth + 1)}
            return {operator: [self.filter(depth + 1) for _ in range(self.dice.choice((1, 2, 3)))]}
        place = self.dice.choice(self.places)
        return {place.path: self.condition(place)}

    def condition(self, place: Place) -> Any:
        """Return what stands beside a path: a value, or operators."""
        if place.kind != "objects" and self.chance(0.1):
            return self.equal(place)
        if self.chance(0.1):
            return {"$not": self.operators(place)}
        return self.operators(place)

    def operators(self, place: Place) -> Filter:
        found: Filter = {}
        for _ in range(self.dice.choice((1, 1, 1, 1, 2))):
            operator = self.dice.choice(OPERATORS[place.kind])
            if operator in ("$exists", "$null") and not self.presence:
                operator = "$ne"
            found[operator] = self.operand(operator, place)
        if "$regex" in found and self.chance(0.3):
            found["$options"] = "i"
        return found

    def operand(self, operator: str, place: Place) -> Any:
        make: dict[str, Callable[[Place], Any]] = {
            "$eq": self.equal, "$ne": self.equal, "$between": self.bounds, "$size": self.size,
            "$in": self.members, "$nin": self.members, "$elemMatch": self.element,
            "$all": lambda place: [self.single(place) for _ in range(self.dice.choice((1, 1, 2)))],
            "$exists": lambda _: self.chance(0.5), "$null": lambda _: self.chance(0.5),
        }  # fmt: skip
        if operator in TEXTS:
            return self.text(operator, place)
        value = make.get(operator, self.single)(place)
        return self.spelled(value) if isinstance(value, dt.datetime) else value

    def spelled(self, instant: dt.datetime) -> Any:
        """Return an instant as text, with its zone, with another one, or without."""
        aware = instant.replace(tzinfo=dt.UTC)
        other = aware.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
        return self.dice.choice((aware, other, instant, {"$date": other.isoformat()}))

    # Values

    def sample(self, place: Place) -> Any:
        """Return a value that a document has there; None where it has none."""
        document = self.dice.choice(self.documents)
        found = [item for item in iter_key_candidates(place.path, document) if item is not NOTHING]
        return self.dice.choice(found) if found else None

    def single(self, place: Place) -> Any:
        """Return a value that can be compared by size: never null, array or object."""
        for _ in range(20):
            value = self.sample(place)
            if isinstance(value, list) and value:
                value = self.dice.choice(value)
            if place.kind == "json" and is_single(value):
                return value
            if place.kind != "json" and value is not None:
                return value
        return self.dice.choice((3, "dark")) if place.kind == "json" else self.default(place)

    def default(self, place: Place) -> Any:
        return DEFAULTS[place.kind]

    def equal(self, place: Place) -> Any:
        if place.null and self.chance(0.15):
            return None
        if place.kind == "json" and self.chance(0.3):
            value = self.sample(place)
            return None if value == {} else value
        return self.single(place)

    def members(self, place: Place) -> list[Any]:
        values = [self.single(place) for _ in range(self.dice.choice((0, 1, 2, 2, 3, 4)))]
        return [*values, None] if place.null and self.chance(0.2) else values

    def bounds(self, place: Place) -> list[Any]:
        low, high = self.single(place), self.single(place)
        if isinstance(low, str) != isinstance(high, str):
            high = low
        return sorted((low, high))

    def size(self, _: Place) -> Any:
        number = self.dice.randrange(4)
        if self.chance(0.5):
            return number
        return {self.dice.choice((*COMPARE, "$ne")): number}

    def element(self, place: Place) -> Filter:
        if place.kind == "objects":
            body = Filters(self.dice, self.parts(place), ELEMENT)
            return body.filter(2)
        found: Filter = {}
        for operator in self.dice.sample(WITHIN, self.dice.choice((1, 1, 2))):
            if not found or not {operator, *found} & ALONE:
                found[operator] = self.operand(operator, place._replace(null=False))
        return found

    def parts(self, place: Place) -> list[Document]:
        lists = [iter_key_candidates(place.path, document) for document in self.documents]
        found = [part for items in lists for item in items if isinstance(item, list)
                 for part in item if isinstance(part, dict)]  # fmt: skip
        return found or [{}]

    # Texts

    def text(self, operator: str, place: Place) -> str:
        value = self.single(place)
        text = value if isinstance(value, str) and value else self.dice.choice(WORDS[:4])
        start = self.dice.randrange(len(text))
        part = text[start : start + self.dice.choice((1, 2, 3))]
        if self.chance(0.2):
            part = part.swapcase()
        match operator:
            case "$regex":
                return self.regex(text, part)
            case "$like" | "$ilike":
                return self.like(text, part)
            case "$startswith":
                return text[: len(part)]
            case "$endswith":
                return text[-len(part) :]
        return part

    def like(self, text: str, part: str) -> str:
        text, part = text.replace("\\", "%"), part.replace("\\", "_")
        forms = (f"%{part}%", f"{part}%", f"%{part}", text, f"_{text[1:]}", f"{text[:1]}%{part}")
        return self.dice.choice(forms)

    def regex(self, text: str, part: str) -> str:
        whole, piece = re.escape(text), re.escape(part)
        first = re.escape(text[:1])
        forms = (
            piece, f"^{piece}", f"{piece}$", f"^{whole}$", f"^{first}.*", f"{first}.+$",
            f"^.?{re.escape(text[1:])}$", r"\d+$", r"^[a-d]", "[a-cA-C].?r", rf"^({piece}|x\d*)",
            f"^{first}*", f"(?:{piece}|ar)", rf"\w\d|{piece}", f"{first}?{piece}", "^$", ".",
        )  # fmt: skip
        return self.dice.choice(forms)
