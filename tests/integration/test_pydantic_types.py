"""Models as pydantic types: what they take, what they give out, what OpenAPI says of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI
from pydantic import BaseModel as PydanticModel
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow, Field, Model
from dataflow.models.ready import BaseModel


def declare_user(db: DataFlow) -> type:
    @db.model
    class User:
        name: str = Field(min_length=2)
        age: int | None = None
        password: str = Field("", secret=True)

    return User


def called(app: FastAPI, method: str, path: str, **given: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **given)

    return asyncio.run(call())


def test_records_are_given_out_without_secrets(db: DataFlow):
    user = declare_user(db)
    record = db.create(user, name="Ada", password="1234")

    given = TypeAdapter(user).dump_python(TypeAdapter(user).validate_python(record))

    assert given == {name: value for name, value in record.items() if name != "password"}


def test_objects_give_out_what_they_have_loaded(memory: DataFlow):
    @memory.model
    class Team(Model):
        name: str

    schema = TypeAdapter(Team)

    assert schema.dump_python(schema.validate_python(Team(name="a"))) == {"name": "a"}


def test_objects_of_base_models_need_no_dataflow():
    class PydanticGadget(BaseModel):
        name: Mapped[str]
        made: Mapped[dt.date | None]

    key = uuid.uuid4()
    schema = TypeAdapter(list[PydanticGadget])
    found = schema.validate_python([PydanticGadget(id=key, name="x", made=dt.date(2026, 1, 2))])

    text = f'[{{"id":"{key}","name":"x","made":"2026-01-02"}}]'
    assert schema.dump_json(found).decode() == text


def test_declarative_classes_of_others_are_types_once_they_are_models(memory: DataFlow):
    class Base(DeclarativeBase):
        pass

    @memory.model
    class Place(Base):
        __tablename__ = "pydantic_places"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    schema = TypeAdapter(Place)

    assert schema.dump_python(schema.validate_python(Place(id=1, name="x"))) == {
        "id": 1,
        "name": "x",
    }


def test_what_does_not_fit_is_refused(memory: DataFlow):
    user = declare_user(memory)

    with pytest.raises(ValidationError) as caught:
        TypeAdapter(user).validate_python({"name": "x", "password": 5, "nick": "y"})

    places = {error["loc"] for error in caught.value.errors()}
    assert places == {("name",), ("password",), ("nick",)}


def test_they_stand_in_models_of_pydantic(memory: DataFlow):
    user = declare_user(memory)

    class Page(PydanticModel):
        users: list[user]  # type: ignore[valid-type]  # a class made above

    assert Page(users=[{"name": "Ada"}]).model_dump() == {"users": [{"name": "Ada"}]}


def test_a_dataclass_stays_what_pydantic_takes_it_for(memory: DataFlow):
    @memory.model
    @dataclass
    class Point:
        x: int = 0

    assert TypeAdapter(Point).validate_python({"x": 1}) == Point(x=1)


def test_fastapi_takes_and_answers_with_them(db: DataFlow):
    user, app = declare_user(db), FastAPI()

    async def create(given: Any) -> Any:
        return await db.aio.create(user, **given)

    create.__annotations__ = {"given": Annotated[user, Body()], "return": user}
    app.post("/users", status_code=201)(create)

    made = called(app, "POST", "/users", json={"name": "Ada", "password": "1234"})
    refused = called(app, "POST", "/users", json={"name": "A"})
    schemas = called(app, "GET", "/openapi.json").json()["components"]["schemas"]

    assert (made.status_code, made.json()["name"], made.json()["id"]) == (201, "Ada", 1)
    assert "password" not in made.json()
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "name"])
    assert "password" in schemas["User-Input"]["properties"]
    assert "password" not in schemas["User-Output"]["properties"]
