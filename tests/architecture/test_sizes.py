"""Limits of size and shape that no file may pass."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dataflow"
FILES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "managers", "misc"}
DRIVERS = {
    "asyncpg": {"database/postgres.py"},
    "aiosqlite": {"database/sqlite_connection.py"},
    "sqlite3": {
        "database/sqlite.py",
        "database/sqlite_connection.py",
        "database/sqlite_errors.py",
        "database/sqlite_foreign.py",
    },
}


def _nodes(kind: type | tuple[type, ...]) -> Iterator[tuple[Path, ast.AST]]:
    for path in FILES:
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, kind):
                yield path, found


def _length(found: ast.AST) -> int:
    """Lines of a definition without its docstring."""
    first = found.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return found.end_lineno - found.lineno + 1 - docstring


def _names(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_no_file_is_longer_than_600_lines():
    lengths = {_names(path): len(path.read_text().splitlines()) for path in FILES}

    assert {name: length for name, length in lengths.items() if length > 600} == {}


def test_no_class_is_longer_than_300_lines():
    long = [
        (_names(path), found.name)
        for path, found in _nodes(ast.ClassDef)
        if found.end_lineno - found.lineno + 1 > 300
    ]

    assert long == []


def test_no_function_is_longer_than_40_lines_without_its_docstring():
    long = [
        (_names(path), found.name, _length(found))
        for path, found in _nodes((ast.FunctionDef, ast.AsyncFunctionDef))
        if _length(found) > 40
    ]

    assert long == []


def test_our_own_code_is_imported_at_module_level_only():
    inside = [
        (_names(path), found.lineno)
        for path, function in _nodes((ast.FunctionDef, ast.AsyncFunctionDef))
        for found in ast.walk(function)
        if (isinstance(found, ast.ImportFrom) and (found.module or "").startswith("dataflow"))
        or (isinstance(found, ast.Import) and found.names[0].name.startswith("dataflow"))
    ]

    assert inside == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_is_imported_in_its_own_module_only(driver: str):
    importers = {
        _names(path)
        for path, found in _nodes((ast.Import, ast.ImportFrom))
        for name in (
            [alias.name for alias in found.names]
            if isinstance(found, ast.Import)
            else [found.module or ""]
        )
        if name.split(".")[0] == driver
    }

    assert importers == DRIVERS[driver]


def test_dialects_are_told_apart_only_by_drivers_and_types():
    tellers = {
        _names(path) for path, found in _nodes(ast.Compare) if "dialect.name" in ast.unparse(found)
    }

    assert tellers <= {
        "database/sqlite_foreign.py",
        "models/columntypes.py",
        "query/inlist.py",
        "query/jsonmatch.py",
        "query/kinds.py",
        "query/regexmatch.py",
    }


def test_no_module_has_a_name_that_says_nothing():
    assert {path.stem for path in FILES} & FORBIDDEN_NAMES == set()


def test_every_ignored_rule_has_its_reason():
    bare = [
        (_names(path), number)
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ("# noqa" in line and " - " not in line.partition("# noqa")[2])
        or ("# type: ignore" in line and line.count("#") < 2)
    ]

    assert bare == []
