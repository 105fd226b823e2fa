"""Random expressions of a pipeline, by the kind of their value."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from bench.faults.mongo.filters import Place

COMPARE = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
PARTS = ("$year", "$month", "$dayOfMonth", "$hour")
UNITS = ("year", "month", "day", "hour")
LITERALS = {"number": (2, 3, -2, 0.5, 10, 17, 41), "text": ("Oslo", "x", "light", "a%b"),
            "flag": (True, False)}  # fmt: skip
DEEPEST = 2

Made = tuple[Any, Place]


class Expressions:
    """Makes expressions over places; each comes with the place that it would fill."""

    def __init__(self, dice: random.Random, places: Sequence[Place]) -> None:
        self.dice = dice
        self.places = places

    def of(self, *kinds: str) -> list[Place]:
        return [place for place in self.places if place.kind in kinds]

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def literal(self, kind: str) -> Any:
        return self.dice.choice(LITERALS[kind])

    def field(self, kind: str) -> Any:
        """Return the name of a field; a literal where there is none of the kind."""
        found = self.of(kind)
        return "$" + self.dice.choice(found).path if found else self.literal(kind)

    def computed(self) -> Made:
        """Return an operator with its operands."""
        kind = self.dice.choice(("number", "number", "number", "text", "flag"))
        if self.chance(0.12):
            return self.apart()
        if self.chance(0.05):
            text = self.dice.choice(("$name", "plain"))
            return {"$literal": text}, Place("", "text")
        made = getattr(self, kind)(0)
        if not isinstance(made, dict):
            made = {"$ifNull": [made, self.literal(kind)]}
        return made, Place("", kind, null=True, missing=True, ascii=False)

    def apart(self) -> Made:
        """Return one of what mongomock lacks, which is computed beside it."""
        instants = self.of("instant")
        if instants and self.chance(0.5):
            path = "$" + self.dice.choice(instants).path
            unit = self.dice.choice(UNITS)
            return {"$dateTrunc": {"date": path, "unit": unit}}, Place("", "instant", null=True)
        number = self.number(1)
        made = {"$round": [number, self.dice.choice((0, 1))]} if self.chance(0.7) else {
            "$round": [number]}  # fmt: skip
        return made, Place("", "number", null=True)

    # Each kind

    def number(self, depth: int) -> Any:
        if depth >= DEEPEST or self.chance(0.3 * depth):
            return self.field("number") if self.chance(0.8) else self.literal("number")
        rules: list[Callable[[int], Any]] = [
            self.sum, self.sum, self.difference, self.quotient, self.absolute, self.length,
            self.part, lambda depth: self.either("number", depth),
        ]  # fmt: skip
        return self.dice.choice(rules)(depth + 1)

    def sum(self, depth: int) -> Any:
        count = self.dice.choice((1, 2, 2, 3))
        name = self.dice.choice(("$add", "$multiply"))
        return {name: [self.number(depth) for _ in range(count)]}

    def difference(self, depth: int) -> Any:
        return {"$subtract": [self.number(depth), self.number(depth)]}

    def quotient(self, depth: int) -> Any:
        divisor = self.dice.choice((2, 4, -2, 8, 0.5))
        return {self.dice.choice(("$divide", "$mod")): [self.number(depth), divisor]}

    def absolute(self, depth: int) -> Any:
        return {"$abs": self.number(depth)}

    def length(self, depth: int) -> Any:
        found = self.of("list", "objects")
        if not found:
            return self.number(depth)
        place = self.dice.choice(found)
        inner = "$" + place.path
        return {"$size": {"$ifNull": [inner, []]} if place.missing or place.null else inner}

    def part(self, depth: int) -> Any:
        found = self.of("instant")
        if not found:
            return self.number(depth)
        return {self.dice.choice(PARTS): "$" + self.dice.choice(found).path}

    def text(self, depth: int) -> Any:
        if depth >= DEEPEST or self.chance(0.3 * depth):
            return self.field("text") if self.chance(0.8) else self.literal("text")
        plain = [place for place in self.of("text") if place.ascii]
        inner = "$" + self.dice.choice(plain).path if plain else "Plain"
        match self.dice.randrange(5):
            case 0:
                return {
                    "$concat": [self.text(depth + 1) for _ in range(self.dice.choice((1, 2, 3)))]
                }
            case 1:
                return {self.dice.choice(("$toUpper", "$toLower")): inner}
            case 2:
                return {"$substr": [inner, self.dice.randrange(4), self.dice.randrange(5)]}
        return self.either("text", depth + 1)

    def flag(self, depth: int) -> Any:
        if depth >= DEEPEST and self.of("flag"):
            return self.field("flag")
        choice = self.dice.randrange(6)
        if depth < DEEPEST and choice == 0:
            count = self.dice.choice((1, 2, 3))
            name = self.dice.choice(("$and", "$or"))
            return {name: [self.truth(depth + 1) for _ in range(count)]}
        if depth < DEEPEST and choice == 1:
            return {"$not": [self.truth(depth + 1)]}
        return self.member() if choice == 2 else self.comparison(depth)

    def truth(self, depth: int) -> Any:
        """Return something with a truth: a flag, or a number, where 0 and null are false."""
        return self.field("number") if self.chance(0.2) else self.flag(depth)

    def comparison(self, depth: int) -> Any:
        kind = self.dice.choice(("number", "number", "text"))
        left = getattr(self, kind)(max(depth, 1))
        if self.chance(0.15):
            kind = self.dice.choice(("number", "text"))
        right = self.literal(kind) if self.chance(0.7) else self.field(kind)
        sides = [left, right] if self.chance(0.8) else [right, left]
        return {self.dice.choice(COMPARE): sides}

    def member(self) -> Any:
        lists = self.of("list")
        kind = self.dice.choice(("number", "text"))
        if lists and self.chance(0.5):
            place = self.dice.choice(lists)
            inner = "$" + place.path
            array = {"$ifNull": [inner, []]} if place.missing or place.null else inner
            return {"$in": [self.literal(kind), array]}
        values = [self.literal(kind) for _ in range(self.dice.choice((1, 2, 3)))]
        return {"$in": [self.field(kind), values]}

    def either(self, kind: str, depth: int) -> Any:
        """Return a choice between two of a kind."""
        make = getattr(self, kind)
        one, other = make(depth), make(depth)
        match self.dice.randrange(4):
            case 0:
                return {"$cond": [self.flag(depth), one, other]}
            case 1:
                return {"$cond": {"if": self.flag(depth), "then": one, "else": other}}
            case 2:
                branches = [{"case": self.flag(depth), "then": one} for _ in range(2)]
                return {"$switch": {"branches": branches, "default": other}}
        return {"$ifNull": [self.field(kind), other]}
