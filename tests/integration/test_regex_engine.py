"""Regular expressions on SQLite: their engine is an extra, and its refusals are told."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.database.sqlite_json import _compiled
from dataflow.database.sqlite_text import regex_matcher
from dataflow.errors import DataValueError, MissingExtraError

FILTERS: list[dict[str, Any]] = [
    {"text": {"$regex": "^(5|6)0"}},
    {"body.a": {"$regex": "^(5|6)0"}},
    {"body": {"$elemMatch": {"a": {"$regex": "^(5|6)0"}}}},
]


@pytest.fixture
def memos() -> Iterator[DataFlow]:
    with DataFlow("sqlite:///:memory:") as db:

        @db.model
        class Memo:
            text: str
            body: dict[str, Any] | None = None

        db.create(Memo, text="50", body={"a": "50"})
        yield db


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_without_the_engine_the_error_names_the_line_to_run(
    memos: DataFlow, monkeypatch: pytest.MonkeyPatch, filter: dict[str, Any]
):
    regex_matcher.cache_clear()
    _compiled.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError) as caught:
        memos.query("Memo").where(filter).all()

    assert caught.value.advice() == "run: pip install 'dataflow-nodes[regex]'"


@pytest.mark.parametrize("path", ["text", "body.a"])
def test_a_pattern_too_large_for_the_engine_is_refused_in_its_words(memos: DataFlow, path: str):
    with pytest.raises(DataValueError, match="regular expression"):
        memos.query("Memo").where({path: {"$regex": "((x{250}){250}){250}"}}).all()


WORDS = ["Müller", "Jose", "Ångström", "a\u00a0b", "٣", "3", "\v", "\n", "_", ""]
CLASSES: list[tuple[str, list[str]]] = [
    (r"^\w+$", ["Jose", "3", "_"]),
    (r"^[\w-]$", ["3", "_"]),
    (r"\W", ["Müller", "Ångström", "a\u00a0b", "٣", "\v", "\n"]),
    (r"^[^\w]$", ["٣", "\v", "\n"]),
    (r"\bngstr", ["Ångström"]),
    (r"(?i)\bLLER\b", ["Müller"]),
    (r"\Bose\b", ["Jose"]),
    (r"^\B.?\B$", ["٣", "\v", ""]),
    (r"\d", ["3"]),
    (r"^\D$", ["٣", "\v", "\n", "_"]),
    (r"\s", ["\n"]),
    (r"^\S+$", [word for word in WORDS if word not in ("\n", "")]),
    (r"(?i)^Å\w+STR", ["Ångström"]),
]


@pytest.mark.parametrize(("pattern", "found"), CLASSES, ids=[pattern for pattern, _ in CLASSES])
def test_classes_and_edges_are_those_of_ascii(db: DataFlow, pattern: str, found: list[str]):
    @db.model(timestamps=False)
    class Word:
        id: int
        text: str
        body: dict[str, Any]

    rows = [{"id": n, "text": word, "body": {"a": word}} for n, word in enumerate(WORDS)]
    db.bulk_create(Word, rows)
    for path in ("text", "body.a"):
        records = db.query(Word).where({path: {"$regex": pattern}}).sort("id").all()
        assert [record.text for record in records] == found
