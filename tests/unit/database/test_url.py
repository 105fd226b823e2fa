"""Database URLs: read, refused, and shown without the password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.database.url import parse_url
from dataflow.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("postgresql://u:p@h/d", "postgresql"),
        ("postgres://u:p@h/d", "postgresql"),
        ("postgresql+asyncpg://u:p@h:5432/d", "postgresql"),
        ("sqlite:///app.db", "sqlite"),
        ("sqlite:////var/app.db", "sqlite"),
        ("sqlite:///:memory:", "sqlite"),
        ("sqlite://", "sqlite"),
        ("sqlite+aiosqlite:///app.db", "sqlite"),
    ],
)
def test_a_url_names_its_backend(text, backend):
    assert parse_url(text).backend == backend


def test_an_address_never_shows_the_password():
    address = parse_url("postgresql://ada:geheim@h/d")

    assert str(address) == repr(address) == "postgresql://ada:***@h/d"


def test_an_address_never_shows_a_password_in_the_query():
    address = parse_url("postgresql://h/d?user=ada&password=geheim")

    assert "geheim" not in f"{address} {address!r}"


@pytest.mark.parametrize("text", ["", "app.db", "://", "postgresql://u:p@h:port/d"])
def test_what_is_no_url_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(ConfigurationError) as caught:
        parse_url(text)

    assert str(caught.value) == (
        "the database URL cannot be read.\n"
        "  help: write postgresql://user:password@host/name or sqlite:///file.db; "
        "in a password write '@' as %40, '/' as %2F and ':' as %3A\n"
        "  code: DF111"
    )


def test_an_unknown_backend_is_refused():
    with pytest.raises(ConfigurationError) as caught:
        parse_url("oracle://u:geheim@h/d")

    assert "there is no driver for 'oracle' databases." in str(caught.value)
    assert "geheim" not in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused_without_showing_it(text: str):
    try:
        parse_url(text)
    except ConfigurationError as error:
        assert error.__cause__ is None  # noqa: PT017 - either verdict is right


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=6))
def test_a_password_of_any_letters_is_kept_and_hidden(password: str):
    from urllib.parse import quote

    address = parse_url(f"postgresql://ada:{quote(password, safe='')}@h/d")

    assert address.url.password == password
    assert str(address) == "postgresql://ada:***@h/d"
