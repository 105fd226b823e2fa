"""Random keys and accumulators of groups."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.faults.mongo.documents import Document
from bench.faults.mongo.expressions import Expressions
from bench.faults.mongo.filters import Place
from bench.faults.mongo.state import State

NUMERIC = ("$sum", "$avg", "$stdDevPop", "$stdDevSamp", "$min", "$max")
EXACT = ("$sum", "$min", "$max")
IN_ORDER = ("$first", "$last", "$push")
COMPARABLE = ("number", "text", "instant", "decimal")

Key = tuple[Any, list[Place], tuple[str, ...]]
Made = tuple[str, Document, Place]


class Groups:
    """Makes what `$group` and `$bucket` take.

    Args:
        dice: Where chance comes from.
        name: Returns a new name that begins with a prefix.
    """

    def __init__(self, dice: random.Random, name: Callable[[str], str]) -> None:
        self.dice = dice
        self.name = name

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def number(self, state: State) -> Any:
        """Return a number: of a field, or computed."""
        expressions = Expressions(self.dice, state.places)
        if expressions.of("number") and self.chance(0.6):
            return expressions.field("number")
        return expressions.number(self.dice.choice((0, 1)))

    def value(self, state: State) -> tuple[Any, Place]:
        """Return a single value: of a field, or computed."""
        if state.scalars and self.chance(0.7):
            place = self.dice.choice(state.scalars)
            return "$" + place.path, place
        return Expressions(self.dice, state.places).computed()

    # Keys

    def key(self, state: State) -> Key:
        """Return a key, the places of its parts, and the names that tell groups apart."""
        choice = self.dice.randrange(6)
        if choice == 0:
            return None, [], ("_id",)
        if choice == 1:
            return self.pair(state)
        if choice == 2 and state.lists and self.chance(0.5):
            return "$" + self.dice.choice(state.lists).path, [], ()
        value, place = self.value(state)
        return value, [place._replace(path="_id", null=True, missing=False)], ("_id",)

    def pair(self, state: State) -> Key:
        parts = {"a": self.value(state), "b": self.value(state)}
        places = [place._replace(path=f"_id.{name}", null=True, missing=False)
                  for name, (_, place) in parts.items()]  # fmt: skip
        key = {name: value for name, (value, _) in parts.items()}
        return key, places, tuple(place.path for place in places)

    # Accumulators

    def accumulated(self, state: State, count: int) -> tuple[Document, list[Place]]:
        fields: Document = {}
        places: list[Place] = []
        for _ in range(count):
            name, accumulator, place = self.accumulator(state)
            fields[name] = accumulator
            places.append(place._replace(path=name))
        return fields, places

    def accumulator(self, state: State) -> Made:
        choice = self.dice.randrange(10)
        if choice == 0 or not state.scalars:
            return self.name("v"), {"$count": {}}, Place("", "number")
        if choice in (1, 2):
            return self.distinct(state)
        if state.ordered and choice < 7:
            return self.in_order(state)
        if choice == 7 and state.of(*COMPARABLE):
            return self.extreme(state)
        if choice == 8 and state.of("decimal"):
            path = "$" + self.dice.choice(state.of("decimal")).path
            return self.name("v"), {"$sum": path}, Place("", "decimal")
        operator = self.dice.choice(NUMERIC)
        place = Place("", "number" if operator in EXACT else "inexact", null=True)
        return self.name("v"), {operator: self.number(state)}, place

    def distinct(self, state: State) -> Made:
        value, place = self.value(state)
        return self.name("set"), {"$addToSet": value}, Place("", "list", items=place.kind)

    def extreme(self, state: State) -> Made:
        operator = self.dice.choice(("$min", "$max"))
        place = self.dice.choice(state.of(*COMPARABLE))
        found = place._replace(null=True, missing=False)
        return self.name("v"), {operator: "$" + place.path}, found

    def in_order(self, state: State) -> Made:
        operator, name = self.dice.choice(IN_ORDER), self.name("v")
        value, place = self.value(state)
        if operator != "$push":
            return name, {operator: value}, place._replace(null=True, missing=False)
        if self.chance(0.3):
            return name, {"$push": "$$ROOT"}, Place("", "other")
        if self.chance(0.3):
            return name, {"$push": {"a": value, "b": self.value(state)[0]}}, Place("", "other")
        return name, {"$push": value}, Place("", "list", items=place.kind)
