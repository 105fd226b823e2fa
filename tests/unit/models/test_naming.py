"""Names of tables, classes and indexes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.errors import IdentifierError
from dataflow.models.naming import (
    check_identifier,
    class_name,
    index_name,
    plural_of,
    snake_case,
    table_name,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("User", "user"), ("BlogPost", "blog_post"), ("HTTPServer", "http_server"),
        ("MyHTTPServer", "my_http_server"), ("userName", "user_name"), ("A", "a"),
        ("already_snake", "already_snake"), ("User2", "user2"), ("Version2Item", "version2_item"),
    ],
)  # fmt: skip
def test_a_class_name_becomes_snake_case(name: str, expected: str):
    assert snake_case(name) == expected


@pytest.mark.parametrize(
    ("word", "plural"),
    [
        ("user", "users"), ("category", "categories"), ("day", "days"), ("key", "keys"),
        ("box", "boxes"), ("bus", "buses"), ("address", "addresses"), ("branch", "branches"),
        ("dish", "dishes"), ("buzz", "buzzes"), ("person", "people"), ("child", "children"),
        ("man", "men"), ("woman", "women"), ("blog_post", "blog_posts"),
        ("sales_person", "sales_people"), ("status", "statuses"), ("process", "processes"),
    ],
)  # fmt: skip
def test_a_word_gets_its_english_plural(word: str, plural: str):
    assert plural_of(word) == plural


@pytest.mark.parametrize(
    "name",
    ["User", "BlogPost", "Category", "Day", "Box", "Bus", "Address", "Branch", "Dish", "Buzz",
     "Person", "SalesPerson", "Status", "Process", "Case", "Course", "Shoe",
     "Tax"],
)  # fmt: skip
def test_a_table_leads_back_to_the_name_of_its_class(name: str):
    assert class_name(table_name(name)) == name


@pytest.mark.parametrize(
    ("table", "name"),
    [("users", "User"), ("blog_posts", "BlogPost"), ("status", "Status"),
     ("person", "Person"), ("_private", "Private"), ("USERS", "User"), ("data", "Data"),
     ("address", "Address")],
)  # fmt: skip
def test_a_table_of_any_name_becomes_a_class_name(table: str, name: str):
    assert class_name(table) == name


@pytest.mark.parametrize("name", ["a", "_", "A1", "a" * 63, "select", "x_y"])
def test_an_identifier_is_returned_as_it_is(name: str):
    assert check_identifier(name, "field") == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a" * 64, "has 64 characters"), ("", "is not an identifier"),
        ("1a", "is not an identifier"), ("a b", "is not an identifier"),
        ("größe", "is not an identifier"), ("a\n", "is not an identifier"),
        ('a"; DROP TABLE users', "is not an identifier"),
    ],
)  # fmt: skip
def test_another_name_is_refused_with_the_rule(name: str, problem: str):
    with pytest.raises(IdentifierError) as caught:
        check_identifier(name, "column")

    assert str(caught.value) == (
        f"column name {name!r} {problem}.\n"
        "  help: use letters, digits and underscores, at most 63, not starting with a digit\n"
        "  code: DF113"
    )


@given(st.text(max_size=80))
def test_exactly_the_allowed_names_are_accepted(name: str):
    letters = string.ascii_letters + "_"
    allowed = (
        0 < len(name) <= 63
        and name[0] in letters
        and all(character in letters + string.digits for character in name)
    )

    try:
        accepted = check_identifier(name, "field") == name
    except IdentifierError:
        accepted = False

    assert accepted is allowed


def test_an_index_name_joins_its_parts():
    assert index_name("ix", "users", ("name", "age")) == "ix_users_name_age"


def test_long_index_names_are_cut_and_stay_different():
    names = {index_name("ix", "t" * 40, ("c" * 40, str(number))) for number in range(20)}

    assert len(names) == 20
    assert {len(name) for name in names} == {63}
