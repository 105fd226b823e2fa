"""Values in a filter are of the field's type, but need not be values of the field."""

from dataflow import DataFlow, Field


def test_a_filter_may_compare_with_what_the_field_could_not_hold(db: DataFlow):
    @db.model(timestamps=False)
    class Person:
        id: int
        name: str = Field(max_length=3)
        age: int = Field(ge=0, le=150)

    db.create("Person", name="Ada", age=36)

    found = db.list("Person", {"age": {"$gt": -1, "$lt": 1_000}, "name": {"$ne": "Augusta"}})

    assert found["records"] == [{"id": 1, "name": "Ada", "age": 36}]
    assert db.count("Person", {"age": {"$in": [-5, 36]}}) == 1
