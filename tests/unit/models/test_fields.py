"""`Field` and `Relationship`."""

import pytest

from dataflow.errors import ConfigurationError
from dataflow.models.fields import MISSING, Field, FieldInfo, Relationship, RelationshipInfo


def test_a_field_keeps_what_it_was_told():
    field = Field(5, unique=True, max_length=3, foreign_key="users.id", description="text")

    assert field == FieldInfo(
        default=5, unique=True, max_length=3, foreign_key="users.id", description="text"
    )


def test_a_field_without_a_default_has_none():
    assert (Field().has_default, Field(None).has_default, Field(default=0).has_default) == (
        False, True, True,
    )  # fmt: skip
    assert Field(default_factory=list).has_default is True
    assert repr(MISSING) == "MISSING"


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(ConfigurationError) as caught:
        Field(uniqe=True)

    assert str(caught.value) == (
        "Field() has no option 'uniqe'.\n  help: did you mean 'unique'?\n  code: DF111"
    )


def test_a_default_and_a_factory_together_are_refused():
    with pytest.raises(ConfigurationError) as caught:
        Field(5, default_factory=int)

    assert str(caught.value) == (
        "Field() takes a default or a default_factory, not both.\n  code: DF111"
    )


@pytest.mark.parametrize(
    "options",
    [{"on_delete": "explode"}, {"max_length": 0}, {"max_length": -1}, {"max_length": "5"},
     {"pattern": "("}, {"decimal_places": -1}, {"default_factory": 5}],
    ids=str,
)  # fmt: skip
def test_a_senseless_option_is_refused_when_the_field_is_written(options: dict[str, object]):
    with pytest.raises(ConfigurationError):
        Field(**options)  # type: ignore[arg-type]  # the mistake


def test_a_relationship_keeps_what_it_was_told():
    assert Relationship(back_populates="posts", foreign_key="author_id") == RelationshipInfo(
        back_populates="posts", foreign_key="author_id"
    )
