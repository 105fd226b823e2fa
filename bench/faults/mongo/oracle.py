"""MongoDB's answers: mongomock stage by stage, and in Python what it lacks."""

from __future__ import annotations

import copy
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mongomock.aggregate import process_pipeline
from mongomock.filtering import iter_key_candidates

from bench.faults.mongo.comparing import same
from bench.faults.mongo.documents import Document
from bench.faults.mongo.rewriting import DIFFERENCES, FilterRewriter
from bench.faults.mongo.rewriting_expressions import ExpressionRewriter, apart

Apart = dict[str, Callable[[Any], Any]]
COLUMNS = frozenset(
    ("id", "name", "city", "age", "price", "amount", "active", "born", "tags", "meta", "extra")
)


class Oracle:
    """Answers pipelines over documents.

    Args:
        mongo: A mongomock database, in which `$lookup` looks.
        uses: Counts the differences that were met.
        folds: Whether the database knows the case of letters beyond ASCII.
    """

    def __init__(self, mongo: Any, uses: Counter[str], *, folds: bool) -> None:
        self.mongo = mongo
        self.uses = uses
        self.folds = folds

    def use(self, name: str) -> None:
        assert name in DIFFERENCES
        self.uses[name] += 1

    def answer(self, documents: Sequence[Document], pipeline: Sequence[Document]) -> Any:
        found: Any = list(documents)
        for stage in pipeline:
            found = self.run(found, stage)
        return found

    def run(self, documents: Sequence[Document], stage: Document) -> Any:
        """Apply one stage; a bare accumulator gives its value."""
        ((name, options),) = stage.items()
        rule = _STAGES.get(name)
        if rule is not None:
            return rule(self, documents, options)
        if name in ("$sort", "$limit", "$skip"):
            return self.mongomock(documents, stage)
        if not documents:
            return 0 if name == "$sum" else None
        (found,) = self.group(documents, {"_id": None, "value": stage})
        return found["value"]

    def mongomock(self, documents: Sequence[Document], stage: Document) -> list[Document]:
        return list(process_pipeline(copy.deepcopy(list(documents)), self.mongo, [stage], None))

    def match(self, documents: Sequence[Document], options: Document) -> list[Document]:
        filters = FilterRewriter(documents, COLUMNS, self.uses, folds=self.folds)
        return self.mongomock(documents, {"$match": filters.filter(options)})

    # Groups

    def group(self, documents: Sequence[Document], options: Document) -> list[Document]:
        if not documents:
            self.use("$group of nothing")
            return []
        fields, later = self.accumulators(documents, options)
        rewriter = ExpressionRewriter(documents, self.uses)
        fields["_id"] = rewriter.key(options["_id"])
        return finished(self.mongomock(documents, {"$group": fields}), later)

    def accumulators(
        self, documents: Sequence[Document], options: Mapping[str, Any]
    ) -> tuple[Document, Apart]:
        """Return accumulators that mongomock has, and what remains to be done."""
        rewriter = ExpressionRewriter(documents, self.uses)
        fields: Document = {}
        later: Apart = {}
        for name, accumulator in options.items():
            if name == "_id":
                continue
            ((operator, operand),) = accumulator.items()
            if operator == "$count":
                operator, operand = "$sum", 1
            last = operator not in ("$first", "$last")
            inner = rewriter.rewrite(operand, last=last)
            finish = _COLLECTED.get(operator)
            if operator == "$sum" and has_decimals(operand, documents):
                finish = _sum
            if finish is not None:
                self.use("accumulators that mongomock lacks")
                operator, later[name] = "$push", finish
            fields[name] = {operator: inner}
        return fields, later

    def bucket(self, documents: Sequence[Document], options: Document) -> list[Document]:
        lowest = options["boundaries"][0] - 1
        rewriter = ExpressionRewriter(documents, self.uses)
        self.use("null in $bucket")
        inner = rewriter.rewrite(options["groupBy"], last=False)
        output, later = self.accumulators(documents, options.get("output", {"count": {"$sum": 1}}))
        stage = {**options, "groupBy": {"$ifNull": [inner, lowest]}, "output": output}
        return finished(self.mongomock(documents, {"$bucket": stage}), later)

    def sort_by_count(self, documents: Sequence[Document], value: Any) -> list[Document]:
        self.use("stages that mongomock lacks")
        found = self.group(documents, {"_id": value, "count": {"$sum": 1}})
        return sorted(found, key=lambda item: -int(item["count"]))

    def distinct(self, documents: Sequence[Document], value: str) -> list[Document]:
        self.use("stages that mongomock lacks")
        return [{value[1:]: item["_id"]} for item in self.group(documents, {"_id": value})]

    def count(self, documents: Sequence[Document], name: str) -> list[Document]:
        if not documents:
            self.use("$count of nothing")
        return self.mongomock(documents, {"$count": name}) if documents else []

    # Fields

    def project(self, documents: Sequence[Document], options: Document) -> list[Document]:
        return self.fields(documents, "$project", options)

    def add_fields(self, documents: Sequence[Document], options: Document) -> list[Document]:
        return self.fields(documents, "$addFields", options)

    def fields(self, documents: Sequence[Document], name: str, options: Document) -> list[Document]:
        rewriter = ExpressionRewriter(documents, self.uses)
        later: Apart = {}
        fields: Document = {}
        for field, value in options.items():
            found = apart(value)
            if found is None:
                fields[field] = rewriter.rewrite(value, last=True)
            else:
                self.use("operators that mongomock lacks")
                inner, later[field] = found
                fields[field] = rewriter.rewrite(inner, last=False)
        return finished(self.mongomock(documents, {name: fields}), later)

    # Arrays

    def unwind(self, documents: Sequence[Document], options: Any) -> list[Document]:
        found = self.mongomock(documents, {"$unwind": options})
        index = options.get("includeArrayIndex") if isinstance(options, Mapping) else None
        if index is not None:
            self.use("index of what is no array")
            for document in found:
                document.setdefault(index, None)
        return found

    def lookup(self, documents: Sequence[Document], options: Document) -> list[Document]:
        found = self.mongomock(documents, {"$lookup": options})
        for document in found:
            for joined in document[options["as"]]:
                del joined["_id"]
        return found

    def facet(self, documents: Sequence[Document], options: Document) -> list[Document]:
        return [{name: self.answer(documents, stages) for name, stages in options.items()}]


def finished(documents: list[Document], later: Apart) -> list[Document]:
    for document in documents:
        for name, finish in later.items():
            document[name] = finish(document.get(name))
    return documents


def has_decimals(operand: Any, documents: Sequence[Document]) -> bool:
    if not isinstance(operand, str):
        return False
    found = (value for item in documents for value in iter_key_candidates(operand[1:], item))
    return any(isinstance(value, Decimal) for value in found)


def _sum(values: list[Any]) -> Any:
    return sum(value for value in values if isinstance(value, Decimal))


def _numbers(values: list[Any]) -> list[float]:
    return [value for value in values if isinstance(value, int | float) and value is not True]


def _distinct(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not any(same(value, other) for other in found):
            found.append(value)
    return found


def _deviation(values: list[Any], least: int, deviate: Callable[[list[float]], float]) -> Any:
    numbers = _numbers(values)
    return deviate(numbers) if len(numbers) >= least else None


_COLLECTED: Apart = {
    "$addToSet": _distinct,
    "$stdDevPop": lambda values: _deviation(values, 1, statistics.pstdev),
    "$stdDevSamp": lambda values: _deviation(values, 2, statistics.stdev),
}
_STAGES: dict[str, Callable[[Oracle, Sequence[Document], Any], Any]] = {
    "$match": Oracle.match,
    "$group": Oracle.group,
    "$bucket": Oracle.bucket,
    "$sortByCount": Oracle.sort_by_count,
    "$distinct": Oracle.distinct,
    "$count": Oracle.count,
    "$project": Oracle.project,
    "$addFields": Oracle.add_fields,
    "$unwind": Oracle.unwind,
    "$lookup": Oracle.lookup,
    "$facet": Oracle.facet,
}
