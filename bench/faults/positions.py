"""Every place of a query where a caller's text may stand, and what is right there."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dataflow import DataFlow

__all__ = ["POSITIONS", "Position", "open_words", "word_record"]

Ask = Callable[[DataFlow, str], Any]
Right = Callable[[Any, str], bool]


def open_words(url: str) -> DataFlow:
    """Return a DataFlow with the model `Word`, its `Note`s, and the canary `Secret`."""
    db = DataFlow(url)

    @db.model(timestamps=False)
    class Word:
        id: int
        name: str
        rank: int | None
        day: dt.datetime | None
        extra: dict[str, Any] | None

    @db.model(timestamps=False)
    class Note:
        id: int
        name: str

    @db.model(timestamps=False)
    class Secret:
        id: int
        word: str

    return db


def word_record(number: int, payload: str) -> dict[str, Any]:
    """Return a record that holds a payload wherever a record can."""
    extra: dict[str, Any] = {
        "text": payload, "list": ["other", payload], "whole": {"k": payload},
        "keys": {payload: number}, "items": [{"k": payload}],
    }  # fmt: skip
    return {"name": payload, "rank": number, "day": None, "extra": extra}


class Position(NamedTuple):
    """A place for text.

    Attributes:
        right: Whether an answer is right for a payload that a record holds; None: any is.
    """

    name: str
    ask: Ask
    right: Right | None = None


# --------------------------------------------------------------- what is right


def _one(found: Any, payload: str) -> bool:
    return [record["name"] for record in found] == [payload]


def _among(found: Any, payload: str) -> bool:
    return payload in [record["name"] for record in found]


def _others(found: Any, payload: str) -> bool:
    return len(found) > 0 and payload not in [record["name"] for record in found]


def _named(found: Any, payload: str) -> bool:
    return len(found) > 0 and all(payload in record for record in found)


def _valued(found: Any, payload: str) -> bool:
    return len(found) > 0 and all(record["x"] == payload for record in found)


def _joined(found: Any, payload: str) -> bool:
    return len(found) > 0 and all(record["x"] == f"{record['name']}{payload}" for record in found)


def _own(found: Any, payload: str) -> bool:
    return any(record["x"] == record["name"] == payload for record in found)


# ------------------------------------------------------------------- positions


def _where(make: Callable[[str], Mapping[str, Any]]) -> Ask:
    return lambda db, text: db.query("Word").where(make(text)).all()


def _pipeline(*make: Callable[[str], Mapping[str, Any]]) -> Ask:
    return lambda db, text: db.query("Word").aggregate([stage(text) for stage in make])


def _match(make: Callable[[str], Any]) -> Ask:
    return _pipeline(lambda text: {"$match": {"$expr": make(text)}})


def _project(make: Callable[[str], Any]) -> Ask:
    return _pipeline(lambda text: {"$project": {"name": 1, "x": make(text)}})


def _listed(db: DataFlow, **options: Any) -> Any:
    return db.list("Word", **options)


MODELS = (
    Position("model of a query", lambda db, text: db.query(text).all()),
    Position("model of a list", lambda db, text: db.list(text)),
    Position("table name", lambda db, text: db.count(text)),
    Position("$lookup from", _pipeline(lambda text: {"$lookup": {
        "from": text, "localField": "name", "foreignField": "name", "as": "x"}})),
)  # fmt: skip

KEYS = (
    Position("filter key", _where(lambda text: {text: 1})),
    Position("filter key below a field", _where(lambda text: {f"name.{text}": 1})),
    Position("part of a JSON path", _where(lambda text: {f"extra.keys.{text}": {"$gte": 0}}),
             lambda found, text: "." in text or _among(found, text)),
    Position("part of a JSON path, presence", _where(
        lambda text: {f"extra.keys.{text}": {"$exists": True}}),
        lambda found, text: "." in text or _among(found, text)),
    Position("part of a JSON path, whole value", _where(lambda text: {f"extra.{text}": {"k": 1}})),
    Position("key in $elemMatch", _where(lambda text: {"extra.items": {"$elemMatch": {text: 1}}})),
    Position("key of a compared object", _where(lambda text: {"extra.keys": {text: -1}})),
    Position("key in $and", _where(lambda text: {"$and": [{text: 1}, {"id": 1}]})),
    Position("operator", _where(lambda text: {"name": {text: 1}})),
    Position("operator after $", _where(lambda text: {"name": {f"${text}": 1}})),
    Position("operator of JSON", _where(lambda text: {"extra.text": {f"${text}": "x"}})),
    Position("operator in $elemMatch", _where(
        lambda text: {"extra.list": {"$elemMatch": {f"${text}": "x"}}})),
    Position("operator in $size", _where(lambda text: {"extra.list": {"$size": {f"${text}": 1}}})),
    Position("operator of filters", _where(lambda text: {f"${text}": [{"id": 1}]})),
    Position("key in $match", _pipeline(lambda text: {"$match": {text: 1}})),
)  # fmt: skip

VALUES = (
    Position("value", _where(lambda text: {"name": text}), _one),
    Position("value of $ne", _where(lambda text: {"name": {"$ne": text}}), _others),
    Position("value of $in", _where(lambda text: {"name": {"$in": [text]}}), _one),
    Position("value of $nin", _where(lambda text: {"name": {"$nin": [text]}}), _others),
    Position("value of $gte", _where(lambda text: {"name": {"$gte": text}}), _among),
    Position("value of $between", _where(lambda text: {"name": {"$between": [text, text]}}), _one),
    Position("value for a number", _where(lambda text: {"rank": text})),
    Position("value of $date", _where(lambda text: {"day": {"$gte": {"$date": text}}})),
    Position("value in JSON", _where(lambda text: {"extra.text": text}), _one),
    Position("value of $ne in JSON", _where(lambda text: {"extra.text": {"$ne": text}}), _others),
    Position("value of $in in JSON", _where(lambda text: {"extra.text": {"$in": [text]}}), _one),
    Position("value of $gte in JSON", _where(lambda text: {"extra.text": {"$gte": text}}), _among),
    Position("value in an array", _where(lambda text: {"extra.list": text}), _one),
    Position("value of $contains in an array", _where(
        lambda text: {"extra.list": {"$contains": text}}), _one),
    Position("value of $all", _where(lambda text: {"extra.list": {"$all": [text]}}), _one),
    Position("value of an object", _where(lambda text: {"extra.whole": {"k": text}}), _one),
    Position("value of a list", _where(lambda text: {"extra.list": ["other", text]}), _one),
    Position("value in $elemMatch", _where(
        lambda text: {"extra.items": {"$elemMatch": {"k": text}}}), _one),
    Position("object in $elemMatch", _where(
        lambda text: {"extra": {"$elemMatch": {"k": {"x": text}}}})),
    Position("value in $match", _pipeline(lambda text: {"$match": {"name": text}}), _one),
    Position("value of exclusion in JSON", _where(lambda text: {"extra.text": {"$nin": [text]}}),
             _others),
)  # fmt: skip

PATTERNS = (
    Position("$regex", _where(lambda text: {"name": {"$regex": text}})),
    Position("$regex, escaped", _where(lambda text: {"name": {"$regex": re.escape(text)}}), _among),
    Position("$regex of letters, escaped", _where(
        lambda text: {"name": {"$regex": f"[ ]|^{re.escape(text)}$"}}), _among),
    Position("$regex of JSON", _where(lambda text: {"extra.text": {"$regex": text}})),
    Position("$regex of JSON, escaped", _where(
        lambda text: {"extra.text": {"$regex": f"^{re.escape(text)}$"}}), _among),
    Position("$options", _where(lambda text: {"name": {"$regex": "a", "$options": text}})),
    Position("$like", _where(lambda text: {"name": {"$like": text}})),
    Position("$like of JSON", _where(lambda text: {"extra.text": {"$like": text}})),
    Position("$ilike", _where(lambda text: {"name": {"$ilike": text}})),
    *(Position(f"{operator} of {field}", _where(
        lambda text, field=field, operator=operator: {field: {operator: text}}), _among)
      for operator in ("$startswith", "$endswith", "$contains", "$icontains")
      for field in ("name", "extra.text")),
)  # fmt: skip

LISTS = (
    Position("sort", lambda db, text: db.query("Word").sort({text: 1}).all()),
    Position("sort, descending", lambda db, text: db.query("Word").sort(f"-{text}").all()),
    Position("direction", lambda db, text: db.query("Word").sort({"name": text}).all()),
    Position("fields", lambda db, text: db.query("Word").fields(text).all()),
    Position("include", lambda db, text: db.query("Word").include(text).all()),
    Position("nested include", lambda db, text: db.query("Word").include(f"name.{text}").all()),
    Position("cursor", lambda db, text: db.query("Word").page(5, text)),
    Position("count", lambda db, text: _listed(db, count=text)),
    Position("limit", lambda db, text: _listed(db, limit=text)),
    Position("option", lambda db, text: _listed(db, **{text: 1})),
    Position("$sort", _pipeline(lambda text: {"$sort": {text: 1}})),
    Position("$sort below JSON", _pipeline(lambda text: {"$sort": {f"extra.keys.{text}": -1}})),
    Position("direction of $sort", _pipeline(lambda text: {"$sort": {"name": text}})),
)  # fmt: skip

GROUPS = (
    Position("stage", _pipeline(lambda text: {text: 1})),
    Position("stage after $", _pipeline(lambda text: {f"${text}": {"name": 1}})),
    Position("group key", _pipeline(lambda text: {"$group": {"_id": f"${text}"}})),
    Position("group key below JSON", _pipeline(
        lambda text: {"$group": {"_id": f"$extra.keys.{text}"}})),
    Position("group key, constant", _pipeline(lambda text: {"$group": {"_id": text}})),
    Position("group key, name of a part", _pipeline(
        lambda text: {"$group": {"_id": {text: "$name"}}})),
    Position("name in $group", _pipeline(
        lambda text: {"$group": {"_id": "$id", text: {"$first": "$name"}}}), _named),
    Position("accumulator", _pipeline(
        lambda text: {"$group": {"_id": None, "x": {f"${text}": "$rank"}}})),
    Position("operand of an accumulator", _pipeline(
        lambda text: {"$group": {"_id": None, "x": {"$sum": f"${text}"}}})),
    Position("constant of $push", _pipeline(
        lambda text: {"$group": {"_id": None, "x": {"$push": {"$literal": text}}}}),
        lambda found, text: set(found[0]["x"]) == {text}),
    Position("$sortByCount", _pipeline(lambda text: {"$sortByCount": f"${text}"})),
    Position("$distinct", _pipeline(lambda text: {"$distinct": text})),
    Position("$count", _pipeline(lambda text: {"$count": text}), _named),
    Position("$bucket boundary", _pipeline(lambda text: {"$bucket": {
        "groupBy": "$name", "boundaries": ["", text, f"{text}z"], "default": text}})),
    Position("$bucket groupBy", _pipeline(lambda text: {"$bucket": {
        "groupBy": f"${text}", "boundaries": [0, 1], "default": 5}})),
    Position("$bucket output", _pipeline(lambda text: {"$bucket": {
        "groupBy": "$rank", "boundaries": [0, 1], "default": 5, "output": {text: {"$sum": 1}}}}),
        _named),
)  # fmt: skip

ALIASES = (
    Position("name in $project", _pipeline(lambda text: {"$project": {text: "$name"}}),
             lambda found, text: "." in text or _named(found, text)),
    Position("included in $project", _pipeline(lambda text: {"$project": {text: 1}})),
    Position("excluded in $project", _pipeline(lambda text: {"$project": {text: 0}})),
    Position("part kept in $project", _pipeline(
        lambda text: {"$project": {f"extra.keys.{text}": 1}}),
        lambda found, text: "." in text or any(
            text in ((record.get("extra") or {}).get("keys") or {}) for record in found)),
    Position("name in $addFields", _pipeline(lambda text: {"$addFields": {text: "$name"}}),
             lambda found, text: "." in text or _named(found, text)),
    Position("name in $addFields, used", _pipeline(
        lambda text: {"$addFields": {text: "$name"}},
        lambda text: {"$match": {"name": text}},
        lambda text: {"$sort": {text: 1}},
        lambda _: {"$group": {"_id": None, "x": {"$push": "$$ROOT"}}}),
        lambda found, text: "." in text or _named(found[0]["x"], text)),
    Position("object in $project", _pipeline(lambda text: {"$project": {"x": {text: "$name"}}}),
             lambda found, text: "." in text or all(text in record["x"] for record in found)),
    Position("$lookup as", _pipeline(lambda text: {"$lookup": {
        "from": "Note", "localField": "name", "foreignField": "name", "as": text}}), _named),
    Position("$lookup as, unwound", _pipeline(
        lambda text: {"$lookup": {
            "from": "Note", "localField": "name", "foreignField": "name", "as": text}},
        lambda text: {"$unwind": f"${text}"}), _named),
    Position("$lookup localField", _pipeline(lambda text: {"$lookup": {
        "from": "Note", "localField": text, "foreignField": "name", "as": "x"}})),
    Position("$lookup foreignField", _pipeline(lambda text: {"$lookup": {
        "from": "Note", "localField": "name", "foreignField": text, "as": "x"}})),
    Position("$facet", _pipeline(lambda text: {"$facet": {text: [{"$limit": 1}]}}), _named),
    Position("$unwind", _pipeline(lambda text: {"$unwind": f"${text}"})),
    Position("$unwind below JSON", _pipeline(lambda text: {"$unwind": f"$extra.{text}"})),
    Position("$unwind includeArrayIndex", _pipeline(lambda text: {"$unwind": {
        "path": "$extra.list", "includeArrayIndex": text}}), _named),
)  # fmt: skip

EXPRESSIONS = (
    Position("$literal", _project(lambda text: {"$literal": text}), _valued),
    Position("$literal in a list", _project(lambda text: {"$literal": [text]}),
             lambda found, text: all(record["x"] == [text] for record in found)),
    Position("$literal in an object", _project(lambda text: {"$literal": {text: text}}),
             lambda found, text: all(record["x"] == {text: text} for record in found)),
    Position("bare text", _project(lambda text: text),
             lambda found, text: text.startswith("$") or _valued(found, text)),
    Position("field", _project(lambda text: f"${text}")),
    Position("field below JSON", _project(lambda text: f"$extra.keys.{text}"),
             lambda found, text: "." in text or any(
                 isinstance(record.get("x"), int) for record in found)),
    Position("variable", _project(lambda text: f"$${text}")),
    Position("operator of an expression", _project(lambda text: {f"${text}": ["$name", 1]})),
    Position("$concat", _project(lambda text: {"$concat": ["$name", {"$literal": text}]}), _joined),
    Position("$substr", _project(lambda text: {"$substr": [{"$literal": text}, 0, -1]}), _valued),
    Position("$substr of a field", _pipeline(
        lambda text: {"$match": {"name": text}},
        lambda _: {"$project": {"name": 1, "x": {"$substr": ["$name", 0, -1]}}}), _own),
    Position("$toUpper", _project(lambda text: {"$toUpper": {"$literal": text}})),
    Position("$substr start", _project(lambda text: {"$substr": ["$name", text, 1]})),
    Position("$round places", _project(lambda text: {"$round": ["$rank", text]})),
    Position("$eq", _match(lambda text: {"$eq": ["$name", {"$literal": text}]}), _one),
    Position("$in", _match(lambda text: {"$in": ["$name", {"$literal": [text]}]}), _one),
    Position("$eq of JSON", _match(
        lambda text: {"$eq": ["$extra.text", {"$literal": text}]}), _one),
    Position("$cond", _project(lambda text: {"$cond": [True, {"$literal": text}, "no"]}), _valued),
    Position("$ifNull", _project(lambda text: {"$ifNull": ["$day", {"$literal": text}]})),
    Position("$dateTrunc unit", _project(
        lambda text: {"$dateTrunc": {"date": {"$date": "now"}, "unit": text}})),
    Position("$dateTrunc timezone", _project(
        lambda text: {"$dateTrunc": {"date": {"$date": "now"}, "unit": "day", "timezone": text}})),
    Position("$dateTrunc startOfWeek", _project(lambda text: {"$dateTrunc": {
        "date": {"$date": "now"}, "unit": "week", "startOfWeek": text}})),
    Position("$date in an expression", _project(lambda text: {"$date": text})),
)  # fmt: skip

POSITIONS = (
    *MODELS, *KEYS, *VALUES, *PATTERNS, *LISTS, *GROUPS, *ALIASES, *EXPRESSIONS,
)  # fmt: skip
