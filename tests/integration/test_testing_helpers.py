"""What `dataflow.testing` gives to the tests of applications."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow, Field, WorkflowBuilder
from dataflow.errors import (
    DuplicateModelError,
    ParameterError,
    RecordValidationError,
    TenantRequiredError,
    UnknownFieldError,
)
from dataflow.repositories import AsyncRepository, Repository
from dataflow.testing import AsyncMockRepository, InMemoryDatabase, MockRepository

pytest_plugins = ["pytester"]


@pytest.fixture
def people(memory: DataFlow) -> Any:
    @memory.model(multi_tenant=True, soft_delete=True)
    class Person:
        id: int
        name: str

    @memory.model(timestamps=False)
    class Pet:
        id: int
        name: str
        owner_id: int | None = Field(default=None, foreign_key=Person)

    return {"Person": Person, "Pet": Pet}


def test_a_database_in_memory_lasts_as_long_as_its_block(people: Any):
    database = InMemoryDatabase(people["Pet"])

    with database as session:
        Repository(session, people["Pet"]).create(name="Rex")
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(people["Pet"])) == 1
    with InMemoryDatabase(people["Pet"]) as session:
        assert Repository(session, people["Pet"]).count() == 0


def test_a_database_in_memory_for_coroutines(people: Any):
    async def work() -> None:
        async with InMemoryDatabase(people["Person"], tenant_id="acme") as session:
            persons = AsyncRepository(session, people["Person"])
            await persons.create(name="Ada")
            assert [person.name for person in await persons.list()] == ["Ada"]

    asyncio.run(work())


def test_a_database_in_memory_takes_all_models_of_the_process(people: Any):
    with InMemoryDatabase() as session:
        assert Repository(session, people["Pet"]).count() == 0


def test_its_models_keep_one_node_of_each_name(people: Any):
    with InMemoryDatabase(people["Pet"]):
        WorkflowBuilder().add_node("PetListNode", "list", {})


def test_two_databases_in_memory_are_apart(people: Any):
    with InMemoryDatabase(people["Pet"]) as one, InMemoryDatabase(people["Pet"]) as two:
        Repository(one, people["Pet"]).create(name="Rex")
        one.commit()

        assert Repository(two, people["Pet"]).count() == 0


def test_a_mock_repository_keeps_what_it_is_given(people: Any):
    with MockRepository(people["Pet"]) as pets:
        made = pets.add_mock_data([{"id": 7, "name": "Rex"}, {"name": "Tom"}])

        assert [pet.id for pet in made] == [7, 8]
        assert pets.get(7).name == "Rex"
        assert [pet.name for pet in pets.search("to")] == ["Tom"]
        pets.clear()
        assert pets.count() == 0
        assert pets.create(name="new").id is not None


def test_a_mock_repository_keeps_tenants_apart(people: Any):
    with MockRepository(people["Person"], "acme") as persons:
        persons.create(name="Ada")
        persons.delete(1)
        assert persons.count() == 0
        persons.clear()
        assert persons.get_by_id(1, include_deleted=True) is None
    with MockRepository(people["Person"]) as persons, pytest.raises(TenantRequiredError):
        persons.count()


def test_a_mock_repository_for_coroutines(people: Any):
    async def work() -> None:
        async with AsyncMockRepository(people["Pet"]) as pets:
            await pets.add_mock_data([{"id": 1, "name": "Test"}])
            assert (await pets.get(1)).name == "Test"
            await pets.clear()
            assert await pets.count() == 0

    asyncio.run(work())


def test_mock_repositories_leave_nothing_open(people: Any, recwarn: pytest.WarningsRecorder):
    pets = MockRepository(people["Pet"])
    pets.create(name="Rex")
    pets.close()
    del pets
    gc.collect()

    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


def test_a_model_whose_name_is_taken_is_not_adopted(people: Any, memory: DataFlow):
    with DataFlow("sqlite:///:memory:") as other:

        @other.model(table="animals")
        class Pet:
            id: int

        with pytest.raises(DuplicateModelError, match="Pet"):
            memory.adopt(Pet)
    assert memory.get_model_info("Pet")["table"] == "pets"
    assert "Person" in people


def test_the_fixtures_of_the_plugin(pytester: pytest.Pytester):
    pytester.makeconftest('pytest_plugins = ["dataflow.testing.plugin"]')
    pytester.makepyfile(
        """
        from dataflow.repositories import Repository

        def declare(db):
            @db.model
            class User:
                id: int
                name: str
            return User

        def test_one(dataflow_db):
            declare(dataflow_db)
            assert dataflow_db.create("User", name="Ada")["id"] == 1

        def test_two(dataflow_db):
            declare(dataflow_db)
            assert dataflow_db.count("User") == 0

        def test_three(dataflow_db, dataflow_memory):
            User = declare(dataflow_db)
            with dataflow_memory(User) as session:
                assert Repository(session, User).create(name="Ada").id == 1
            assert dataflow_db.count("User") == 0
        """
    )

    pytester.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=3)


def test_mock_data_that_cannot_be_is_refused_and_leaves_the_repository_usable(people: Any):
    refused: Any
    with MockRepository(people["Pet"]) as pets:
        for refused, kind, text in (
            ([{"nme": "x"}], UnknownFieldError, "did you mean 'name'"),
            (None, ParameterError, "a list of dicts"),
            ([5], ParameterError, "values by name, not 5"),
            ([{"name": 5}], RecordValidationError, "name"),
        ):
            with pytest.raises(kind, match=text):
                pets.add_mock_data(refused)
            assert pets.count() == 0


def test_an_async_mock_asks_for_its_block(people: Any):
    pets = AsyncMockRepository(people["Pet"])

    with pytest.raises(ParameterError, match="write `async with AsyncMockRepository"):
        asyncio.run(pets.count())
