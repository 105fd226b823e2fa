"""Foreign keys that lead nowhere are told at first use."""

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import AnnotationError
from dataflow.models.spec import ModelSpec
from dataflow.schema.references import check_foreign_keys


@pytest.fixture
def post(memory: DataFlow) -> ModelSpec:
    @memory.model(timestamps=False)
    class Post:
        id: int
        user_id: int = Field(foreign_key="users.id")

    found: ModelSpec = Post.__dataflow__
    return found


def test_a_key_to_a_known_column_is_fine(memory: DataFlow, post: ModelSpec):
    @memory.model(timestamps=False)
    class User:
        id: int

    check_foreign_keys(post, memory.metadata.tables)


def test_a_key_to_an_unknown_table_names_the_nearest(memory: DataFlow, post: ModelSpec):
    @memory.model(timestamps=False, table="user")
    class User:
        id: int

    with pytest.raises(AnnotationError) as caught:
        check_foreign_keys(post, memory.metadata.tables)

    assert str(caught.value) == (
        "field 'user_id' of model 'Post': its foreign key leads to table 'users', which no model "
        f"has.\n  at: {post.location}\n  help: did you mean 'user'?\n  code: DF105"
    )


def test_a_key_to_an_unknown_column_names_the_nearest(memory: DataFlow, post: ModelSpec):
    @memory.model(timestamps=False)
    class User:
        id_: int = Field(primary_key=True)

    with pytest.raises(AnnotationError) as caught:
        check_foreign_keys(post, memory.metadata.tables)

    assert str(caught.value) == (
        "field 'user_id' of model 'Post': its foreign key leads to users.id, which does not exist."
        f"\n  at: {post.location}\n  help: did you mean 'id_'?\n  code: DF105"
    )
