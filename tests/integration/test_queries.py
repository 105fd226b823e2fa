"""Lazy queries, the query builder, and text operators."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import DataFlow, LocalRuntime, Relationship, WorkflowBuilder
from dataflow.errors import (
    DefinitionError,
    FilterError,
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    UnfilteredWriteError,
    UnknownFieldError,
)
from dataflow.models.fields import Field
from dataflow.repositories import Repository

NAMES = ["John", "Johnny", "Ada", "50%", "a_b", "back\\slash", "JOHN", "O'Neil", "größe", ""]


@pytest.fixture
def people(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Person:
        id: int
        name: str
        age: int
        nick: str | None

    db.bulk_create("Person", [{"name": name, "age": n * 10} for n, name in enumerate(NAMES)])
    return db


def names(db: DataFlow, condition: Any) -> list[str]:
    return [record.name for record in db.query("Person").where({"name": condition}).all()]


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"$startswith": "John"}, lambda name: name.startswith("John")),
        ({"$endswith": "ny"}, lambda name: name.endswith("ny")),
        ({"$contains": "%"}, lambda name: "%" in name),
        ({"$contains": "_"}, lambda name: "_" in name),
        ({"$contains": "\\"}, lambda name: "\\" in name),
        ({"$contains": "'"}, lambda name: "'" in name),
        ({"$icontains": "OHN"}, lambda name: "ohn" in name.lower()),
        ({"$like": "J_hn%"}, lambda name: name.startswith("John")),
        ({"$ilike": "john"}, lambda name: name.lower() == "john"),
        ({"$regex": "^John"}, lambda name: name.startswith("John")),
        ({"$regex": "^John$"}, lambda name: name == "John"),
        ({"$regex": "oh"}, lambda name: "oh" in name),
        ({"$regex": "^50\\%"}, lambda name: name.startswith("50%")),
        ({"$not": {"$startswith": "J"}}, lambda name: not name.startswith("J")),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_text_is_compared_literally_and_by_case_on_every_database(
    people: DataFlow, condition: dict[str, Any], wanted: Callable[[str], bool]
):
    assert names(people, condition) == [name for name in NAMES if wanted(name)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part=st.text(alphabet="Jonhy%_\\'a5bß", max_size=3))
def test_any_text_finds_what_python_finds(people: DataFlow, part: str):
    assert names(people, {"$contains": part}) == [name for name in NAMES if part in name]
    assert names(people, {"$startswith": part}) == [n for n in NAMES if n.startswith(part)]
    assert names(people, {"$endswith": part}) == [n for n in NAMES if n.endswith(part)]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", r"'\\1' is not supported on every database"),
        ("(?=a)b", "'(?=' is not supported on every database"),
        ("a++", "possessive repetition is not supported on every database"),
        ("a{1,300}", "a repetition goes above 255"),
        ("(a", "it is not a regular expression: missing ), unterminated subpattern at position 0"),
    ],
)
def test_a_regular_expression_that_not_every_database_has_is_refused(
    people: DataFlow, pattern: str, reason: str
):
    with pytest.raises(FilterError) as caught:
        people.query("Person").where({"name": {"$regex": pattern}})

    assert str(caught.value) == (
        f"the regular expression {pattern!r} of field 'name': {reason}.\n  code: DF109"
    )


@pytest.mark.parametrize("condition", [{"age": {"$contains": "1"}}, {"name": {"$like": 5}}])
def test_text_operators_take_text_alone(people: DataFlow, condition: dict[str, Any]):
    with pytest.raises(FilterError):
        people.query("Person").where(condition)


def test_a_query_is_a_value_that_each_step_leaves_as_it_was(people: DataFlow):
    everyone = people.query("Person")
    adults = everyone.where({"age": {"$gte": 20}})
    oldest = adults.sort("-age").limit(2).fields("name")

    assert everyone.count() == 10
    assert adults.count() == 8
    assert oldest.all() == [{"name": ""}, {"name": "größe"}]
    assert adults.where({"age": {"$lt": 40}}).sort("age").offset(1).all()[0].name == "50%"


def test_a_query_gives_one_record_or_says_why_not(people: DataFlow):
    query = people.query("Person")

    assert query.where({"name": "Ada"}).one() == {"id": 3, "name": "Ada", "age": 20, "nick": None}
    assert query.where({"name": "Bob"}).first() is None
    assert query.where({"name": "Bob"}).exists() is False
    assert query.where({"name": "Ada"}).exists() is True
    with pytest.raises(RecordNotFoundError):
        query.where({"name": "Bob"}).one()
    with pytest.raises(MultipleRecordsError):
        query.one()


def test_a_query_pages_and_iterates_over_everything_once(people: DataFlow):
    query = people.query("Person").sort("-age")
    first = query.page(limit=4)
    second = query.page(limit=4, after=first["next"])

    assert [record.age for record in first["records"] + second["records"]] == [
        90, 80, 70, 60, 50, 40, 30, 20,
    ]  # fmt: skip
    assert [record.age for record in query.iterate(batch=3)] == list(range(90, -10, -10))
    assert [record.age for record in query.limit(4).iterate(batch=3)] == [90, 80, 70, 60]
    assert [record.age for record in query.offset(8).iterate(batch=1)] == [10, 0]


def test_a_query_updates_and_deletes_what_it_finds(people: DataFlow):
    query = people.query("Person").where({"name": {"$startswith": "John"}})

    assert query.update({"nick": "J"}) == 2
    assert people.query("Person").where({"nick": "J"}).count() == 2
    assert query.delete() == 2
    assert people.count("Person") == 8
    with pytest.raises(UnfilteredWriteError):
        people.query("Person").delete()


def test_mistakes_in_a_query_are_errors_at_their_own_line(people: DataFlow):
    query = people.query("Person")

    with pytest.raises(UnknownFieldError):
        query.where({"nmae": "Ada"})
    with pytest.raises(UnknownFieldError):
        query.sort("-nmae")
    with pytest.raises(UnknownFieldError):
        query.fields("nmae")
    with pytest.raises(UnknownFieldError):
        query.include("friends")
    with pytest.raises(ParameterError):
        query.limit(0)


def test_the_async_face_gives_the_same(people: DataFlow):
    async def main() -> tuple[Any, ...]:
        query = people.aio.query("Person").where({"age": {"$lt": 30}}).sort("age")
        ages = [record.age async for record in query.iterate(batch=2)]
        found = await query.all(), await query.count(), await query.first(), await query.exists()
        await people.aclose()
        return ages, *found

    ages, everyone, count, first, exists = asyncio.run(main())

    assert ages == [0, 10, 20]
    assert [record.name for record in everyone] == ["John", "Johnny", "Ada"]
    assert (count, first.name, exists) == (3, "John", True)


def test_links_are_included_with_one_statement_each(db: DataFlow):
    @db.model(timestamps=False)
    class Author:
        id: int
        name: str
        posts: list["Post"] = Relationship()

    @db.model(timestamps=False)
    class Post:
        id: int
        author_id: int = Field(foreign_key="authors.id")

    db.create("Author", name="Ada")
    db.bulk_create("Post", [{"author_id": 1}, {"author_id": 1}])

    (author,) = db.query(Author).include("posts").all()

    assert [post["id"] for post in author.posts] == [1, 2]


def test_the_query_builder_makes_the_inputs_of_a_list_node(people: DataFlow, runtime: LocalRuntime):
    person = people._catalogue.store_of("Person").spec.model
    query = person.query_builder()
    query.filter({"age": {"$gt": 10}})
    query.filter({"name": {"$in": ["Ada", "50%", "John"]}})
    query.sort({"age": -1})
    query.limit(10)
    workflow = WorkflowBuilder(db=people)
    workflow.add_node("PersonListNode", "found", query.to_params())

    results, _ = runtime.execute(workflow)

    assert query.to_params() == {
        "filter": {"$and": [{"age": {"$gt": 10}}, {"name": {"$in": ["Ada", "50%", "John"]}}]},
        "sort": {"age": -1},
        "limit": 10,
    }
    assert [record["name"] for record in results["found"]["records"]] == ["50%", "Ada"]


def test_the_query_builder_refuses_a_mistake_at_once(people: DataFlow):
    person = people._catalogue.store_of("Person").spec.model

    with pytest.raises(UnknownFieldError) as caught:
        person.query_builder().filter({"agee": 1})

    assert str(caught.value) == (
        "model 'Person' has no field 'agee'.\n  help: did you mean 'age'?\n  code: DF108"
    )


def test_a_limited_query_refuses_to_change_more_than_it_shows(people: DataFlow):
    query = people.query("Person").where({"age": {"$gte": 0}}).limit(1)

    with pytest.raises(ParameterError):
        query.delete()
    with pytest.raises(ParameterError):
        query.offset(1).update({"nick": "x"})
    assert people.count("Person") == len(NAMES)


def test_an_exit_in_the_input_reaches_the_caller_and_leaves_everything_usable(people: DataFlow):
    def rows() -> Any:
        yield {"name": "new", "age": 1}
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        people.bulk_create("Person", rows())

    assert people.count("Person") == len(NAMES)


def test_an_sql_expression_as_filter_is_refused_with_the_document_to_write(memory: DataFlow):
    @memory.model
    class Hero:
        age: int = 0
        active: bool = True

    memory.create_tables()
    calls: list[Callable[[Any], Any]] = [
        lambda given: memory.query(Hero).where(given),
        lambda given: memory.list(Hero, given),
        lambda given: memory.bulk_delete(Hero, given),
        lambda given: Repository(session, Hero).list(given),
        lambda given: Repository(session, Hero).count([given]),
    ]
    with memory.session() as session:
        for call in calls:
            for expression in (Hero.age > 2, Hero.active):
                with pytest.raises(DefinitionError) as caught:
                    call(expression)
                assert "not an SQL expression" in str(caught.value)
                assert 'write {"age": {"$gt": 2}}' in str(caught.value)
