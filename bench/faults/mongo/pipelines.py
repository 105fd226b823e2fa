"""Random pipelines: each stage is made from what the stages before it leave."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.faults.mongo.documents import Document
from bench.faults.mongo.expressions import Expressions
from bench.faults.mongo.filters import PLACES, Filters, Place
from bench.faults.mongo.groups import NUMERIC, Groups
from bench.faults.mongo.state import ORDER, PART, State

Stage = dict[str, Any]
Run = Callable[[Sequence[Document], Stage], list[Document]]
BOUNDS = (-5, 0, 2, 2.5, 5, 17, 18, 40, 100)


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
        self.groups = Groups(dice, self.name)

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

    # Stages that keep the documents

    def match(self, state: State) -> tuple[Stage, State] | None:
        places = PLACES if state.fresh else tuple(state.scalars)
        if not places:
            return None
        filters = Filters(self.dice, state.documents or [{}], places, presence=state.fresh)
        return {"$match": filters.filter(1)}, state

    def sort(self, state: State) -> tuple[Stage, State] | None:
        if not state.key:
            return None
        others = [place.path for place in state.scalars if place.path not in state.key]
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
        numbers = [item for item in state.of("number") if not item.missing and "." not in item.path
                   and item.path not in state.key]  # fmt: skip
        if numbers and self.chance(0.3):
            changed = self.dice.choice(numbers)
            fields[changed.path] = Expressions(self.dice, state.places).sum(1)
            found = changed._replace(null=True)
            after = replace(after, places=tuple(
                found if item == changed else item for item in after.places))  # fmt: skip
        return {"$addFields": fields}, after

    def computed(self, state: State, count: int) -> tuple[Document, list[Place]]:
        fields, places = {}, []
        for _ in range(count):
            name = self.name()
            fields[name], place = Expressions(self.dice, state.places).computed(apart=True)
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
        lists = state.of("list", "objects")
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
        key, places, names = self.groups.key(state)
        fields, found = self.groups.accumulated(state, self.dice.choice((1, 2, 3)))
        after = State((), (*places, *found), names, fresh=False)
        return {"$group": {"_id": key, **fields}}, after

    def bucket(self, state: State) -> tuple[Stage, State]:
        bounds = sorted(self.dice.sample(BOUNDS, self.dice.choice((2, 3, 4))))
        default = self.dice.choice(("other", "other", 1_000, -1_000))
        value = self.groups.number(state)
        if not isinstance(value, str | dict):
            value = {"$literal": value}
        options: Document = {"groupBy": value, "boundaries": bounds, "default": default}
        places = [Place("count", "number")]
        if self.chance(0.6):
            options["output"], places = self.groups.accumulated(state, 2)
        key = Place("_id", "json" if default == "other" else "number")
        return {"$bucket": options}, State((), (key, *places), ("_id",), fresh=False)

    def sort_by_count(self, state: State) -> tuple[Stage, State]:
        value, place = self.groups.value(state)
        found = place._replace(path="_id", null=True, missing=False)
        after = State((), (found, Place("count", "number")), ("_id",), fresh=False)
        return {"$sortByCount": value}, after

    def distinct(self, state: State) -> tuple[Stage, State] | None:
        found = [p for p in state.scalars if "." not in p.path and not p.missing]
        if not found or self.chance(0.5):
            return None
        place = self.dice.choice(found)
        return {"$distinct": "$" + place.path}, State((), (place,), (place.path,), fresh=False)

    def count(self, state: State) -> tuple[Stage, State]:
        return {"$count": "n"}, replace(state, final=True)

    def scalar(self, state: State) -> tuple[Stage, State]:
        operator = self.dice.choice(NUMERIC)
        return {operator: self.groups.number(state)}, replace(state, final=True)

    def facet(self, state: State) -> tuple[Stage, State]:
        parts: Document = {}
        for number in range(self.dice.choice((1, 2, 3))):
            stages, after = self.stages(state, self.dice.choice((1, 2, 2, 3)), facets=False)
            parts[f"list{number}" if after.ordered else f"set{number}"] = stages
        return {"$facet": parts}, replace(state, final=True, ordered=True)
