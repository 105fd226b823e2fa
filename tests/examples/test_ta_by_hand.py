"""What the README of `ta_generator` counts is true, and what it is compared with works."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

TESTS = Path(__file__).parents[1]
EXAMPLE = TESTS.parent / "examples" / "ta_generator"
BY_HAND = TESTS / "examples" / "ta_by_hand.py"
LAYER = ("models.py", "enums.py", "repositories.py", "database.py")
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_IMPORT = re.compile(r"^from dataflow[\w.]* import", re.MULTILINE)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of_code(path: Path) -> int:
    """Count lines that hold code: none that are blank, comments or docstrings alone."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE and token.string:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def test_the_readme_counts_right():
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (.+?) +\| +(\d+) \|$", readme, re.MULTILINE))

    counts = {f"`{name}`": lines_of_code(EXAMPLE / name) for name in LAYER}
    own, by_hand = sum(counts.values()), lines_of_code(BY_HAND)
    expected = {
        **counts,
        "with DataFlow": own,
        "`ta_by_hand.py` in its place": by_hand,
        "by hand": own + by_hand,
    }
    assert {name: int(count) for name, count in rows.items()} == expected


def test_the_application_does_the_same_on_the_layer_written_by_hand(
    tmp_path: Path, postgres_url: str
):
    shutil.copytree(EXAMPLE, tmp_path / "ta_generator")
    tests = ("test_ta_generator.py", "test_ta_generator_api.py")
    for path in (TESTS / "ta_case.py", *(TESTS / "examples" / name for name in tests)):
        shutil.copy(path, tmp_path)
    for path in tmp_path.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(
                r"^from dataflow[\w.]* import", "from ta_by_hand import", text, flags=re.MULTILINE
            )
        )
    for path in (BY_HAND, TESTS / "conftest.py", TESTS / "servers.py"):
        shutil.copy(path, tmp_path)
    assert "ta_by_hand" in (tmp_path / "ta_generator" / "repositories.py").read_text()

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", *tests],
        cwd=tmp_path,
        env={**os.environ, "DATAFLOW_TEST_POSTGRES_URL": postgres_url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout[-5000:] + done.stderr
