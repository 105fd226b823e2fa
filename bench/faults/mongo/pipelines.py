"""Random pipelines: each stage is made from what the stages before it leave."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.faults.mongo.documents import Document
from bench.faults.mongo.expressions import Expressions
from bench.faults.mongo.filters import COLUMNS, PLACES, Filters, Place

Stage = dict[str, Any]
Run = Callable[[Sequence[Document], Stage], list[Document]]

# Not among them is "inexact": a number whose last digits nobody promises.
SCALARS = ("number", "decimal", "text", "flag", "instant", "json")
ITEM = (
    *COLUMNS, Place("tags", "list"),
    Place("meta.score", "number", null=True, missing=True),
    Place("meta.prefs.theme", "text", null=True, missing=True, ascii=False),
    Place("meta.prefs.size", "json", null=True, missing=True),
    Place("meta.vip", "flag", missing=True),
    Place("meta.level", "json", null=True, missing=True),
    Place("meta.mixed", "json", null=True, missing=True),
    Place("meta.codes", "list", missing=True),
    Place("meta.items", "objects", missing=True),
    Place("meta.items.qty", "spread", missing=True), Place("meta", "other"),
    Place("extra.note", "text", missing=True, ascii=False),
)  # fmt: skip
PART = (
    Place("qty", "number", null=True, missing=True),
    Place("sku", "text", missing=True, ascii=False),
    Place("opt", "json", null=True, missing=True),
)
ORDER = (
    Place("id", "number", missing=True), Place("quantity", "number", null=True, missing=True),
    Place("status", "text", missing=True),
)  # fmt: skip
NUMERIC = ("$sum", "$avg", "$stdDevPop", "$stdDevSamp", "$min", "$max")
IN_ORDER = ("$first", "$last", "$push")


@dataclass(frozen=True)
class State:
    """What a stage finds.

    Attributes:
        documents: The documents, as the oracle has them.
        places: What they have.
        key: Names whose values are different in every document; empty where none are.
        ordered: Whether their order is known.
        fresh: Whether they are still the table's records.
        final: Whether nothing may follow.
    """

    documents: Sequence[Document]
    places: tuple[Place, ...] = ITEM
    key: tuple[str, ...] = ("id",)
    ordered: bool = False
    fresh: bool = True
    final: bool = False


class Pipelines:
    """Makes pipelines, and runs them on the oracle on the way.

    Args:
        dice: Where chance comes from.
        run: Applies one stage to documents, as MongoDB does.
    """

    def __init__(self, dice: random.Random, run: Run) -> None:
        self.dice = dice
        self.run = run
        self.names = itertools.count(1)

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def pipeline(self, documents: Sequence[Document]) -> tuple[list[Stage], State]:
        """Return one to five stages, and what they leave."""
        self.names = itertools.count(1)
        return self.stages(State(documents), self.dice.choice((1, 2, 2, 3, 3, 4, 5)), facets=True)

    def stages(self, state: State, count: int, *, facets: bool) -> tuple[list[Stage], State]:
        stages: list[Stage] = []
        while len(stages) < count and not state.final:
            stage, after = self.stage(state, facets=facets and len(stages) + 1 >= count)
            stages.append(stage)
            state = replace(after, documents=self.run(state.documents, stage))
        return stages, state

    def stage(self, state: State, *, facets: bool) -> tuple[Stage, State]:
        makers = [
            self.match, self.match, self.group, self.group, self.group, self.project,
            self.add_fields, self.sort, self.sort, self.unwind, self.bucket, self.sort_by_count,
            self.lookup, self.distinct,
        ]  # fmt: skip
        if state.ordered:
            makers += [self.limit, self.skip] * 3 + [self.group] * 4
        if facets:
            makers += [self.facet] * 3 + [self.count, self.scalar]
        while True:
            made = self.dice.choice(makers)(state)
            if made is not None:
                return made

    def name(self, prefix: str = "v") -> str:
        return f"{prefix}{next(self.names)}"

    def of(self, state: State, *kinds: str) -> list[Place]:
        return [place for place in state.places if place.kind in kinds]

    # Stages that keep the documents

    def match(self, state: State) -> tuple[Stage, State] | None:
        places = PLACES if state.fresh else tuple(self.of(state, *SCALARS))
        if not places:
            return None
        filters = Filters(self.dice, state.documents or [{}], places, presence=state.fresh)
        return {"$match": filters.filter(1)}, state

    def sort(self, state: State) -> tuple[Stage, State] | None:
        if not state.key:
            return None
        others = [place.path for place in self.of(state, *SCALARS) if place.path not in state.key]
        first = self.dice.sample(others, min(len(others), self.dice.choice((0, 1, 1, 2))))
        keys = {name: self.dice.choice((1, -1)) for name in (*first, *state.key)}
        return {"$sort": keys}, replace(state, ordered=True)

    def limit(self, state: State) -> tuple[Stage, State]:
        return {"$limit": self.dice.choice((1, 3, 10, 100))}, state

    def skip(self, state: State) -> tuple[Stage, State]:
        return {"$skip": self.dice.choice((1, 3, 10))}, state

    def add_fields(self, state: State) -> tuple[Stage, State]:
        fields, places = self.computed(state, self.dice.choice((1, 1, 2)))
        after = replace(state, places=(*state.places, *places), fresh=False)
        return {"$addFields": fields}, after

    def computed(self, state: State, count: int) -> tuple[Document, list[Place]]:
        fields, places = {}, []
        for _ in range(count):
            name = self.name()
            fields[name], place = Expressions(self.dice, state.places).computed()
            places.append(place._replace(path=name))
        return fields, places

    def project(self, state: State) -> tuple[Stage, State]:
        tops = sorted({place.path.partition(".")[0] for place in state.places} - set(state.key))
        if tops and self.chance(0.15):
            dropped = self.dice.choice(tops)
            left = tuple(item for item in state.places if item.path.partition(".")[0] != dropped)
            key = () if any(name.startswith(f"{dropped}.") for name in state.key) else state.key
            return {"$project": {dropped: 0}}, replace(state, places=left, key=key, fresh=False)
        kept = self.kept(state)
        whole = [place.path if place.path[:4] != "_id." else "_id" for place in kept]
        fields: Document = dict.fromkeys(whole, 1)
        made, places = self.computed(state, self.dice.choice((0, 1, 2)) if kept else 1)
        after = replace(state, places=(*kept, *places), fresh=False)
        names = {place.path for place in kept}
        if not names.issuperset(state.key):
            after = replace(after, key=())
        if "_id" not in fields and (not state.fresh or self.chance(0.3)):
            fields["_id"] = 0
        return {"$project": {**fields, **made}}, after

    def kept(self, state: State) -> list[Place]:
        """Return places of which none lies in another."""
        found: list[Place] = []
        wanted = self.dice.sample(state.places, min(len(state.places), self.dice.choice((1, 2, 4))))
        if self.chance(0.7):
            wanted = [place for place in state.places if place.path in state.key] + wanted
        for place in wanted:
            inside = any(
                (place.path + ".").startswith(other.path + ".")
                or (other.path + ".").startswith(place.path + ".")
                for other in found
            )
            if not inside:
                found.append(place)
        return found

    # Stages that multiply them

    def unwind(self, state: State) -> tuple[Stage, State] | None:
        lists = self.of(state, "list", "objects")
        if not lists:
            return None
        place = self.dice.choice(lists)
        keep, index = self.chance(0.4), None
        if not place.path.startswith("set") and self.chance(0.6):
            index = self.name("index")
        options: Any = "$" + place.path
        if keep or index or self.chance(0.3):
            options = {"path": options}
            options |= {"includeArrayIndex": index} if index else {}
            options |= {"preserveNullAndEmptyArrays": keep} if keep or self.chance(0.2) else {}
        others = [item for item in state.places if not f"{item.path}.".startswith(f"{place.path}.")]
        places = [*others, *self.unwound(place, keep=keep)]
        key = (*state.key, f"{place.path}.id") if place.path.startswith("set_orders") else ()
        if index:
            places.append(Place(index, "number", null=True))
            key = (*state.key, index)
        after = replace(state, places=tuple(places), fresh=False, key=key if state.key else (),
                        ordered=state.ordered and not place.path.startswith("set"))  # fmt: skip
        return {"$unwind": options}, after

    def unwound(self, place: Place, *, keep: bool) -> list[Place]:
        if place.kind == "list":
            return [Place(place.path, place.items, null=True, missing=keep, ascii=False)]
        inner = ORDER if place.path.startswith("set_orders") else PART
        return [item._replace(path=f"{place.path}.{item.path}") for item in inner]

    def lookup(self, state: State) -> tuple[Stage, State] | None:
        if any(place.path == "set_orders" for place in state.places):
            return None
        numbers = [place for place in state.places if place.path in ("id", "age", "meta.score")]
        if not numbers:
            return None
        foreign = self.dice.choice(("item_id", "item_id", "quantity"))
        options = {"from": "orders", "localField": self.dice.choice(numbers).path,
                   "foreignField": foreign, "as": "set_orders"}  # fmt: skip
        places = (*state.places, Place("set_orders", "objects"))
        return {"$lookup": options}, replace(state, places=places, fresh=False)

    # Stages that join them

    def group(self, state: State) -> tuple[Stage, State]:
        key, places, names = self.group_key(state)
        fields, found = self.accumulated(state, self.dice.choice((1, 2, 3)))
        after = State((), (*places, *found), names, fresh=False)
        return {"$group": {"_id": key, **fields}}, after

    def group_key(self, state: State) -> tuple[Any, list[Place], tuple[str, ...]]:
        scalars = self.of(state, *SCALARS)
        choice = self.dice.randrange(6)
        if choice == 0 or not scalars:
            return None, [], ("_id",)
        if choice == 1 and len(scalars) > 1:
            chosen = self.dice.sample(scalars, 2)
            places = [
                place._replace(path=f"_id.{name}") for name, place in zip("ab", chosen, strict=True)
            ]
            whole = not any(place.missing for place in chosen)
            names = ("_id.a", "_id.b") if whole else ()
            return {name: "$" + p.path for name, p in zip("ab", chosen, strict=True)}, places, names
        if choice == 2:
            made, place = Expressions(self.dice, state.places).computed()
            if "$round" not in made and "$dateTrunc" not in made:
                return made, [place._replace(path="_id", missing=False)], ("_id",)
        lists = [place for place in self.of(state, "list") if not place.path.startswith("set")]
        if choice == 3 and lists and self.chance(0.4):
            return "$" + self.dice.choice(lists).path, [], ()
        place = self.dice.choice(scalars)
        return "$" + place.path, [place._replace(path="_id", null=True, missing=False)], ("_id",)

    def accumulated(self, state: State, count: int) -> tuple[Document, list[Place]]:
        fields: Document = {}
        places: list[Place] = []
        for _ in range(count):
            name, accumulator, place = self.accumulator(state)
            fields[name] = accumulator
            places.append(place._replace(path=name))
        return fields, places

    def accumulator(self, state: State) -> tuple[str, Document, Place]:
        scalars = self.of(state, *SCALARS)
        choice = self.dice.randrange(10)
        if choice == 0 or not scalars:
            return self.name(), {"$count": {}}, Place("", "number")
        if choice in (1, 2):
            place = self.dice.choice(scalars)
            return (
                self.name("set"),
                {"$addToSet": "$" + place.path},
                Place("", "list", items=place.kind),
            )
        if state.ordered and choice < 7:
            return self.accumulator_in_order(scalars)
        if choice == 7:
            place = self.dice.choice([p for p in scalars if p.kind != "json"] or scalars)
            if place.kind in ("number", "text", "instant", "decimal"):
                operator = self.dice.choice(("$min", "$max"))
                return self.name(), {operator: "$" + place.path}, place._replace(
                    null=True, missing=False)  # fmt: skip
        if choice == 8 and self.of(state, "decimal"):
            path = "$" + self.dice.choice(self.of(state, "decimal")).path
            return self.name(), {"$sum": path}, Place("", "decimal")
        operator = self.dice.choice(NUMERIC)
        kind = "number" if operator in ("$sum", "$min", "$max") else "inexact"
        return self.name(), {operator: self.number(state)}, Place("", kind, null=True)

    def number(self, state: State) -> Any:
        expressions = Expressions(self.dice, state.places)
        if expressions.of("number") and self.chance(0.6):
            return expressions.field("number")
        return expressions.number(self.dice.choice((0, 1)))

    def accumulator_in_order(self, scalars: list[Place]) -> tuple[str, Document, Place]:
        operator = self.dice.choice(IN_ORDER)
        place = self.dice.choice(scalars)
        if operator != "$push":
            found = place._replace(null=True, missing=False)
            return self.name(), {operator: "$" + place.path}, found
        if self.chance(0.3):
            return self.name(), {"$push": "$$ROOT"}, Place("", "other")
        if self.chance(0.3):
            pair = {"a": "$" + place.path, "b": "$" + self.dice.choice(scalars).path}
            return self.name(), {"$push": pair}, Place("", "other")
        return self.name(), {"$push": "$" + place.path}, Place("", "list", items=place.kind)

    def bucket(self, state: State) -> tuple[Stage, State] | None:
        numbers = self.of(state, "number")
        if not numbers:
            return None
        place = self.dice.choice(numbers)
        bounds = sorted(
            self.dice.sample((-5, 0, 2, 2.5, 5, 17, 18, 40, 100), self.dice.choice((2, 3, 4)))
        )
        options: Document = {"groupBy": "$" + place.path, "boundaries": bounds}
        options["default"] = self.dice.choice(("other", "other", 1_000, -1_000))
        places = [Place("count", "number")]
        if self.chance(0.6):
            options["output"], places = self.accumulated(state, 2)
        kind = "json" if options["default"] == "other" else "number"
        after = State((), (Place("_id", kind), *places), ("_id",), fresh=False)
        return {"$bucket": options}, after

    def sort_by_count(self, state: State) -> tuple[Stage, State] | None:
        scalars = self.of(state, *SCALARS)
        if not scalars:
            return None
        place = self.dice.choice(scalars)
        found = place._replace(path="_id", null=True, missing=False)
        after = State((), (found, Place("count", "number")), ("_id",), fresh=False)
        return {"$sortByCount": "$" + place.path}, after

    def distinct(self, state: State) -> tuple[Stage, State] | None:
        found = [p for p in self.of(state, *SCALARS) if "." not in p.path and not p.missing]
        if not found or self.chance(0.5):
            return None
        place = self.dice.choice(found)
        return {"$distinct": "$" + place.path}, State((), (place,), (place.path,), fresh=False)

    def count(self, state: State) -> tuple[Stage, State]:
        return {"$count": "n"}, replace(state, final=True)

    def scalar(self, state: State) -> tuple[Stage, State]:
        operator = self.dice.choice(NUMERIC)
        return {operator: self.number(state)}, replace(state, final=True)

    def facet(self, state: State) -> tuple[Stage, State]:
        parts: Document = {}
        for number in range(self.dice.choice((1, 2, 3))):
            stages, after = self.stages(state, self.dice.choice((1, 2, 2, 3)), facets=False)
            parts[f"list{number}" if after.ordered else f"set{number}"] = stages
        return {"$facet": parts}, replace(state, final=True, ordered=True)
