"""Every Python block of README, CONTRIBUTING and docs/ runs, and prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_run import assert_page_runs
from pages import DOCS, PAGES, ROOT, blocks_of, name_of

WITH_CODE = [page for page in PAGES if any(b.language == "python" for b in blocks_of(page))]


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)

    assert_page_runs(page, capsys)


def test_the_readme_begins_with_two_commands_and_few_lines_of_code():
    blocks = blocks_of(ROOT / "README.md")

    commands = [block.text.splitlines() for block in blocks if block.language == "console"]
    code, *_ = [block.text for block in blocks if block.language == "python"]
    assert [len(lines) for lines in commands] == [2, 2]
    assert commands[0][1] == ".venv/bin/pytest"
    assert len([line for line in code.splitlines() if line.strip()]) == 15


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_navigation_lists_every_page_once():
    listed = re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=name_of)
def test_a_decision_is_short_and_has_three_parts(page: Path):
    lines = page.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 40
    assert [line for line in lines if line.startswith("## ")] == [
        "## Context",
        "## Decision",
        "## Consequences",
    ]
