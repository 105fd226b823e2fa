"""The comparison with mongomock: what decides over right and wrong is right itself.

The documents and answers are those of MongoDB's manual. The comparison runs with the
other faults: `Q1` and `Q2`, here at a tenth of their size.
"""

import random
import sys
from collections import Counter
from pathlib import Path

import mongomock
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.faults.mongo.comparing import same
from bench.faults.mongo.documents import Documents
from bench.faults.mongo.filters import Filters
from bench.faults.mongo.oracle import Oracle
from bench.faults.mongo.pipelines import Pipelines
from bench.faults.mongo.rewriting import FilterRewriter, SkippedError
from bench.faults.mongo.shrinking import shrink, shrink_list
from bench.faults.mongo.steadiness import UnsteadyError, is_ordered

SURVEY = [
    {"_id": 1, "results": [{"product": "abc", "score": 10}, {"product": "xyz", "score": 5}]},
    {"_id": 2, "results": [{"product": "abc", "score": 8}, {"product": "xyz", "score": 7}]},
    {"_id": 3, "results": [{"product": "abc", "score": 7}, {"product": "xyz", "score": 8}]},
]
NULLS = [
    {"_id": "missing"},
    {"_id": "null", "a": None},
    {"_id": "empty", "a": []},
    {"_id": "with null", "a": [1, None]},
    {"_id": "without", "a": [2, 3]},
    {"_id": "some lack", "a": [{"b": 3}, {}]},
    {"_id": "none lacks", "a": [{"b": 3}, {"b": 4}]},
]


def found_ids(documents: list, filter: dict) -> list:
    collection = mongomock.MongoClient().db.documents
    collection.insert_many(documents)
    rewritten = FilterRewriter(documents, frozenset(), Counter()).filter(filter)
    return [document["_id"] for document in collection.find(rewritten)]


def answer(documents: list, *pipeline: dict):
    return Oracle(mongomock.MongoClient().db, Counter(), folds=True).answer(documents, pipeline)


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ({"results": {"$elemMatch": {"product": "xyz", "score": {"$gte": 8}}}}, [3]),
        ({"results.product": "xyz", "results.score": {"$gte": 10}}, [1]),
        ({"results": {"$elemMatch": {"product": {"$ne": "xyz"}}}}, [1, 2, 3]),
        ({"results.score": {"$gt": 8, "$lt": 7}}, [1]),
        ({"results.score": {"$ne": 7}}, [1]),
        ({"results.score": {"$nin": [7, 5]}}, []),
        ({"results.score": {"$all": [8, 7]}}, [2, 3]),
        ({"results": {"$size": 2}, "results.0.score": {"$between": [8, 10]}}, [1, 2]),
        ({"results.0.product": {"$not": {"$regex": "^AB", "$options": "i"}}}, []),
    ],
)
def test_the_oracle_filters_arrays_as_the_manual_does(filter, ids):
    assert found_ids(SURVEY, filter) == ids


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ({"a": None}, ["missing", "null", "with null"]),
        ({"a": {"$ne": None}}, ["empty", "without", "some lack", "none lacks"]),
        ({"a": {"$exists": False}}, ["missing"]),
        ({"a.b": {"$exists": False}}, ["missing", "null", "empty", "with null", "without"]),
        ({"a.b": {"$not": {"$gt": 3}}}, [item["_id"] for item in NULLS[:-1]]),
        ({"a": {"$size": {"$gte": 2}}}, ["with null", "without", "some lack", "none lacks"]),
    ],
)
def test_the_oracle_tells_null_from_missing_as_the_manual_does(filter, ids):
    assert found_ids(NULLS, filter) == ids


def test_the_oracle_refuses_what_mongomock_gets_wrong():
    with pytest.raises(SkippedError, match="null below a scalar"):
        found_ids([{"_id": 1, "a": 4}], {"a.b": None})


def test_the_oracle_groups_as_the_manual_does():
    documents = [{"x": 1, "y": None}, {"x": 1, "y": 4}, {"x": 1}, {"x": 2, "y": 0}]
    fields = {
        "sum": {"$sum": "$y"}, "avg": {"$avg": "$y"}, "first": {"$first": "$y"},
        "last": {"$last": "$y"}, "all": {"$push": "$y"}, "set": {"$addToSet": "$y"},
        "count": {"$count": {}}, "deviation": {"$stdDevPop": "$y"}, "min": {"$min": "$y"},
    }  # fmt: skip

    assert answer(documents, {"$group": {"_id": "$x", **fields}}) == [
        {"_id": 1, "sum": 4, "avg": 4.0, "first": None, "last": None, "all": [None, 4],
         "set": [None, 4], "count": 3, "deviation": 0.0, "min": 4},
        {"_id": 2, "sum": 0, "avg": 0.0, "first": 0, "last": 0, "all": [0], "set": [0],
         "count": 1, "deviation": 0.0, "min": 0},
    ]  # fmt: skip
    assert answer([], {"$group": {"_id": None, "n": {"$sum": 1}}}) == []
    assert answer([], {"$count": "n"}) == []


def test_the_oracle_unwinds_as_the_manual_does():
    documents = [
        {"_id": 1, "sizes": ["S", "M"]}, {"_id": 2, "sizes": []}, {"_id": 3, "sizes": "M"},
        {"_id": 4}, {"_id": 5, "sizes": None},
    ]  # fmt: skip
    options = {"path": "$sizes", "includeArrayIndex": "at", "preserveNullAndEmptyArrays": True}

    assert answer(documents, {"$unwind": "$sizes"}) == [
        {"_id": 1, "sizes": "S"}, {"_id": 1, "sizes": "M"}, {"_id": 3, "sizes": "M"},
    ]  # fmt: skip
    assert answer(documents, {"$unwind": options}) == [
        {"_id": 1, "sizes": "S", "at": 0}, {"_id": 1, "sizes": "M", "at": 1},
        {"_id": 2, "at": None}, {"_id": 3, "sizes": "M", "at": None}, {"_id": 4, "at": None},
        {"_id": 5, "sizes": None, "at": None},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"$add": ["$n", "$none"]}, None),
        ({"$concat": ["a", "$null"]}, None),
        ({"$toUpper": "$none"}, ""),
        ({"$substr": ["$null", 0, 2]}, ""),
        ({"$year": "$none"}, None),
        ({"$gt": ["$n", "$null"]}, True),
        ({"$lt": ["$null", 1]}, True),
        ({"$not": ["$zero"]}, True),
        ({"$and": ["$n", "$none"]}, False),
        ({"$cond": [{"$ne": ["$none", 3]}, "yes", "no"]}, "yes"),
        ({"$ifNull": ["$none", "$null", "last"]}, "last"),
        ({"$mod": [{"$subtract": [0, "$n"]}, 2]}, -1),
        ({"$round": [{"$divide": ["$n", 2]}, 0]}, 2),
    ],
)
def test_the_oracle_computes_as_the_manual_does(expression, value):
    documents = [{"n": 3, "zero": 0, "null": None}]

    assert answer(documents, {"$project": {"x": expression}}) == [{"x": value}]


def test_the_oracle_leaves_out_what_a_bare_path_does_not_reach():
    found = answer([{"a": 1}], {"$project": {"x": "$none", "y": {"z": "$a"}}})

    assert found == [{"y": {"z": 1}}]


@pytest.mark.parametrize(
    ("ours", "theirs", "equal"),
    [
        ([1, 2], [2, 1], False),
        ({"set1": [1, 2]}, {"set1": [2, 1]}, True),
        ({"x": True}, {"x": 1}, False),
        ({"x": 0.1 + 0.2}, {"x": 0.3}, True),
        ({"x": 1}, {"x": 1.001}, False),
        ({"x": None}, {}, False),
        ([{"x": "1"}], [{"x": 1}], False),
    ],
)
def test_answers_are_compared_by_value_and_not_by_the_order_of_sets(ours, theirs, equal):
    assert same(ours, theirs) is equal


def test_documents_without_an_order_are_compared_as_a_set():
    ours = [{"_id": 1, "set1": ["b", "a"]}, {"_id": None}]
    theirs = [{"_id": None}, {"_id": 1, "set1": ["a", "b"]}]

    assert same(ours, theirs, ordered=False)
    assert not same(ours, theirs, ordered=True)


def test_shrinking_leaves_what_is_wrong():
    filter = {"$or": [{"a": 1, "b": {"$gt": 2, "$lt": 5}}, {"c": [1, 2, 3]}], "d": 4}

    assert shrink(filter, lambda less: "'$gt': 2" in repr(less)) == {"b": {"$gt": 2}}
    assert shrink_list(list(range(40)), lambda kept: {7, 30} <= set(kept)) == [7, 30]


def test_only_an_order_without_ties_is_compared():
    total, partial = {"$sort": {"age": 1, "id": 1}}, {"$sort": {"age": 1}}

    assert is_ordered([total, {"$limit": 3}], [total])
    assert not is_ordered([total, {"$group": {"_id": "$age"}}], [total])
    with pytest.raises(UnsteadyError):
        is_ordered([partial, {"$limit": 3}], [total])
    with pytest.raises(UnsteadyError):
        is_ordered([{"$group": {"_id": None, "x": {"$first": "$age"}}}], [total])


def test_the_same_seed_makes_the_same_queries():
    def made():
        dice = random.Random(1)
        documents = Documents(dice, odd=True).items(5)
        oracle = Oracle(mongomock.MongoClient().db, Counter(), folds=True)
        filters = [Filters(dice, documents).filter() for _ in range(20)]
        return documents, filters, Pipelines(dice, oracle.run).pipeline(documents)[0]

    assert made() == made()
