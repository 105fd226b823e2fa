"""Filters mean the same on every database, and the same as MongoDB's."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import DataFlow
from dataflow.errors import FilterError, RecordValidationError, UnknownFieldError

PEOPLE = [
    {"name": "Ada", "age": 36, "city": "London"},
    {"name": "Bob", "age": 20, "city": None},
    {"name": "Cyd", "age": None, "city": "Paris"},
    {"name": "Dan", "age": 20, "city": "Paris"},
    {"name": "Eve", "age": None, "city": None},
]


def declare_people(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Person:
        id: int
        name: str
        age: int | None
        city: str | None

    db.bulk_create("Person", PEOPLE)
    return db


@pytest.fixture(scope="module")
def people(shared_db: DataFlow) -> DataFlow:
    return declare_people(shared_db)


def names(db: DataFlow, filter: Any) -> str:
    records = db.list("Person", filter, sort="id")["records"]
    return "".join(record["name"][0] for record in records)


FILTERS: list[tuple[Any, str]] = [
    (None, "ABCDE"),
    ({}, "ABCDE"),
    ({"name": "Ada"}, "A"),
    ({"name": "ada"}, ""),
    ({"age": 20, "city": "Paris"}, "D"),
    ({"age": None}, "CE"),
    ({"age": {"$eq": 20}}, "BD"),
    ({"age": {"$eq": None}}, "CE"),
    ({"age": {"$ne": None}}, "ABD"),
    ({"age": {"$ne": 20}}, "ACE"),
    ({"age": {"$gt": 20}}, "A"),
    ({"age": {"$gte": 20}}, "ABD"),
    ({"age": {"$lt": 36}}, "BD"),
    ({"age": {"$lte": 36}}, "ABD"),
    ({"age": {"$gt": 20, "$lt": 40}}, "A"),
    ({"age": {"$in": [20, 99]}}, "BD"),
    ({"age": {"$in": []}}, ""),
    ({"age": {"$in": [36, None]}}, "ACE"),
    ({"age": {"$in": (20,)}}, "BD"),
    ({"age": {"$nin": [20]}}, "ACE"),
    ({"age": {"$nin": []}}, "ABCDE"),
    ({"age": {"$nin": [20, None]}}, "A"),
    ({"age": {"$between": [20, 30]}}, "BD"),
    ({"age": {"$between": (36, 36)}}, "A"),
    ({"age": {"$exists": True}}, "ABD"),
    ({"age": {"$exists": False}}, "CE"),
    ({"age": {"$null": True}}, "CE"),
    ({"age": {"$null": False}}, "ABD"),
    ({"$and": [{"age": 20}, {"city": "Paris"}]}, "D"),
    ({"$or": [{"age": 36}, {"city": "Paris"}]}, "ACD"),
    ({"$nor": [{"age": 36}, {"city": "Paris"}]}, "BE"),
    ({"$not": {"age": 20}}, "ACE"),
    ({"$not": {"age": {"$gt": 20}}}, "BCDE"),
    ({"age": {"$not": {"$gt": 20}}}, "BCDE"),
    ({"age": {"$not": {"$eq": 20}}}, "ACE"),
    ({"age": {"$not": 20}}, "ACE"),
    ({"age": {"$gte": 20, "$not": {"$eq": 36}}}, "BD"),
    ({"$or": [{"age": {"$lt": 30}, "city": None}, {"name": {"$in": ["Cyd"]}}]}, "BC"),
    ({"$and": [{"$or": [{"age": 20}, {"age": 36}]}, {"$not": {"city": None}}]}, "AD"),
    ({"name": {"$gt": "Bob", "$lte": "Dan"}}, "CD"),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS, ids=[str(item[0]) for item in FILTERS])
def test_a_filter_finds_what_mongodb_would(people: DataFlow, filter: Any, expected: str):
    assert names(people, filter) == expected
    assert people.count("Person", filter) == len(expected)


BAD: list[tuple[Any, type[Exception], str]] = [
    (
        {"nam": 1},
        UnknownFieldError,
        "model 'Person' has no field 'nam'.\n  help: did you mean 'name'?\n  code: DF108",
    ),
    (
        {"age": {"$gtt": 1}},
        FilterError,
        ("there is no operator '$gtt' (in the filter of field 'age').\n"
        "  help: did you mean '$gt'?\n  code: DF109"),
    ),
    (
        {"$orr": []},
        FilterError,
        ("there is no operator '$orr' for whole filters.\n  help: did you mean '$or'?\n"
        "  code: DF109"),
    ),
    (
        {"age": {"gt": 1}},
        FilterError,
        ("there is no operator 'gt' (in the filter of field 'age').\n"
        "  help: did you mean '$gt'?\n  code: DF109"),
    ),
    ({"age": {}}, FilterError, "the filter of field 'age' is an empty dict.\n  code: DF109"),
    ({"$or": []}, FilterError, "$or takes a non-empty list of filters.\n  code: DF109"),
    (
        {"$and": {"age": 1}},
        FilterError,
        "$and takes a non-empty list of filters.\n  code: DF109",
    ),
    ({"$not": 5}, FilterError, "a filter must be a dict, not int.\n  code: DF109"),
    ([("age", 1)], FilterError, "a filter must be a dict, not list.\n  code: DF109"),
    ("age = 1", FilterError, "a filter must be a dict, not str.\n  code: DF109"),
    ({5: 1}, FilterError, "a filter's keys must be texts, not 5.\n  code: DF109"),
    ({"age": {"$in": 5}}, FilterError, "$in of field 'age' takes a list.\n  code: DF109"),
    ({"name": {"$in": "Ada"}}, FilterError, "$in of field 'name' takes a list.\n  code: DF109"),
    (
        {"age": {"$gt": None}},
        FilterError,
        "$gt of field 'age' cannot compare with None.\n  code: DF109",
    ),
    (
        {"age": {"$between": [1]}},
        FilterError,
        "$between of field 'age' takes two values: [low, high].\n  code: DF109",
    ),
    (
        {"age": {"$exists": "yes"}},
        FilterError,
        "$exists of field 'age' takes True or False.\n  code: DF109",
    ),
    (
        {"age": "old"},
        RecordValidationError,
        ("values do not fit model 'Person':\n  age: Input should be a valid integer, unable to "
        "parse string as an integer (got 'old')\n  code: DF201"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("filter", "kind", "text"), BAD, ids=[str(item[0]) for item in BAD])
def test_a_malformed_filter_is_refused_by_every_reader(
    memory: DataFlow, filter: Any, kind: type[Exception], text: str
):
    @memory.model(timestamps=False)
    class Person:
        id: int
        name: str
        age: int | None

    for call in (memory.list, memory.count):
        with pytest.raises(kind) as caught:
            call("Person", filter)

        assert str(caught.value) == text


def nested(depth: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"age": 1}
    for _ in range(depth - 1):
        filter = {"$and": [filter]}
    return filter


@pytest.mark.parametrize("depth", [33, 500, 5_000])
def test_a_filter_deeper_than_32_levels_is_refused(people: DataFlow, depth: int):
    with pytest.raises(FilterError) as caught:
        people.list("Person", nested(depth))

    assert str(caught.value) == "the filter is nested deeper than 32.\n  code: DF109"
    assert names(people, nested(32)) == ""


@pytest.mark.parametrize("count", [1_001, 100_000])
def test_a_filter_of_more_than_1000_terms_is_refused(people: DataFlow, count: int):
    with pytest.raises(FilterError) as caught:
        people.list("Person", {"$or": [{"age": number} for number in range(count)]})

    assert str(caught.value) == "the filter has more than 1000 terms.\n  code: DF109"
    assert names(people, {"$or": [{"age": number} for number in range(1_000)]}) == "ABD"


def test_a_filter_of_many_negations_of_a_field_is_refused(people: DataFlow):
    filter: Any = {"$eq": 1}
    for _ in range(5_000):
        filter = {"$not": filter}

    with pytest.raises(FilterError):
        people.list("Person", {"age": filter})


def test_a_list_of_100000_values_is_one_parameter(db: DataFlow):
    people = declare_people(db)
    ages = people.count("Person", {"age": {"$in": range(1, 100_001)}})
    texts = people.count("Person", {"name": {"$in": [f"n{n}" for n in range(99_999)] + ["Eve"]}})
    others = people.count("Person", {"id": {"$nin": list(range(3, 100_003))}})
    gone = people.bulk_delete("Person", ids=range(5, 100_005))

    assert (ages, texts, others) == (3, 1, 2)
    assert gone == {"processed": 1, "deleted": 1, "success": True}


def test_a_list_of_100000_bytes_works_too(db: DataFlow):
    @db.model(timestamps=False)
    class Blob:
        id: int
        digest: bytes

    db.bulk_create("Blob", [{"digest": n.to_bytes(4)} for n in range(3)])

    found = db.count("Blob", {"digest": {"$in": [n.to_bytes(4) for n in range(1, 100_001)]}})

    assert found == 2


def test_like_wildcards_and_quotes_in_values_are_just_characters(db: DataFlow):
    people = declare_people(db)
    people.create("Person", {"name": "100%_'\"\\", "age": 1, "city": None})

    found = people.list("Person", {"name": {"$in": ["100%_'\"\\", "%"]}})["records"]

    assert [record["name"] for record in found] == ["100%_'\"\\"]
    assert names(people, {"name": "%"}) == ""


def test_the_same_filter_with_other_values_finds_other_records(people: DataFlow):
    found = [names(people, {"age": {"$in": ages}}) for ages in ([20], [36], [20, 36], [])]

    assert found == ["BD", "A", "ABD", ""]


# ------------------------------------------------- against an evaluator in Python

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(record: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    return all(_entry(record, key, value) for key, value in filter.items())


def _entry(record: Mapping[str, Any], key: str, value: Any) -> bool:
    if key == "$and":
        return all(matches(record, item) for item in value)
    if key == "$or":
        return any(matches(record, item) for item in value)
    if key == "$nor":
        return not any(matches(record, item) for item in value)
    if key == "$not":
        return not matches(record, value)
    return _field(record[key], value)


def _field(found: Any, value: Any) -> bool:
    if not isinstance(value, dict):
        return bool(found == value)
    return all(_operator(found, name, item) for name, item in value.items())


def _operator(found: Any, name: str, value: Any) -> bool:
    if name in _COMPARE:
        return found is not None and _COMPARE[name](found, value)
    if name == "$between":
        return found is not None and value[0] <= found <= value[1]
    return {
        "$eq": lambda: found == value,
        "$ne": lambda: found != value,
        "$in": lambda: found in value,
        "$nin": lambda: found not in value,
        "$exists": lambda: (found is not None) == value,
        "$null": lambda: (found is None) == value,
        "$not": lambda: not _field(found, value),
    }[name]()


def conditions(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    maybe = st.none() | values
    simple = st.one_of(
        maybe,
        st.builds(lambda k, v: {k: v}, st.sampled_from(["$eq", "$ne"]), maybe),
        st.builds(lambda k, v: {k: v}, st.sampled_from(sorted(_COMPARE)), values),
        st.builds(
            lambda k, v: {k: v}, st.sampled_from(["$in", "$nin"]), st.lists(maybe, max_size=3)
        ),
        st.builds(lambda a, b: {"$between": [a, b]}, values, values),
        st.builds(lambda k, v: {k: v}, st.sampled_from(["$exists", "$null"]), st.booleans()),
    )
    return simple | simple.map(lambda inner: {"$not": inner}).filter(
        lambda item: item["$not"] is not None
    )


terms = st.one_of(
    st.builds(lambda c: {"number": c}, conditions(st.integers(0, 3))),
    st.builds(lambda c: {"word": c}, conditions(st.sampled_from(["", "a", "b", "B"]))),
    st.builds(lambda c: {"flag": c}, conditions(st.booleans())),
)
filters = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.builds(lambda k, v: {k: v}, st.sampled_from(["$and", "$or", "$nor"]),
                  st.lists(inner, min_size=1, max_size=3)),
        inner.map(lambda item: {"$not": item}),
        st.builds(lambda a, b: {**a, **b}, inner, inner),
    ),
    max_leaves=5,
)  # fmt: skip


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filter=filters)
def test_any_filter_agrees_with_an_evaluator_in_python(db: DataFlow, filter: dict[str, Any]):
    if not db.list_models():

        @db.model(timestamps=False)
        class Row:
            id: int
            number: int | None
            word: str | None
            flag: bool | None

        db.bulk_create(
            "Row",
            [
                {"number": number, "word": word, "flag": flag}
                for number in (None, 0, 1, 2)
                for word in (None, "", "a", "B")
                for flag in (None, False, True)
            ],
        )
    rows = db.list("Row", limit=None)["records"]

    found = db.list("Row", filter, limit=None)["records"]

    assert found == [row for row in rows if matches(row, filter)]
