"""Every Python block of README, CONTRIBUTING and docs/ runs, and prints what is shown."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, PAGES, ROOT, Block, blocks_of, name_of

from dataflow import DataFlow, DataFlowError
from dataflow.nodes.registry import default_registry

WITH_CODE = [page for page in PAGES if any(b.language == "python" for b in blocks_of(page))]


class PageRun:
    """One namespace in which the blocks of a page run in order."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}
        self._shared = default_registry.names()
        self._databases: list[DataFlow] = []

    def run(self, block: Block, capsys: pytest.CaptureFixture[str]) -> str:
        """Run a block and return what it printed, or the error that its page shows."""
        # Lines of errors count from the block's first line, as a reader counts.
        code = compile(block.text, "app.py", "exec")
        try:
            exec(code, self.names)
        except DataFlowError as error:
            if block.shows is None:
                raise
            return f"{capsys.readouterr().out}{type(error).__name__}: {error}\n"
        finally:
            self._databases += [
                value
                for value in self.names.values()
                if isinstance(value, DataFlow) and value not in self._databases
            ]
        return capsys.readouterr().out

    def close(self) -> None:
        for database in self._databases:
            database.close()
        for name in set(default_registry.names()) - set(self._shared):
            default_registry.remove(name)
        self.names.clear()
        gc.collect()


def without_what_varies(text: str) -> str:
    """Return a text without run ids, instants and the colour of time."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"datetime\.datetime\([^)]*\)", "<instant>", text)
    return text.rstrip() + "\n" if text.strip() else ""


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    run = PageRun()
    try:
        for block in blocks_of(page):
            if block.language != "python":
                continue
            printed = run.run(block, capsys)

            place = f"{name_of(page)}:{block.line}"
            assert (place, without_what_varies(printed)) == (
                place,
                without_what_varies(block.shows or ""),
            )
    finally:
        run.close()


def test_the_readme_begins_with_two_commands_and_few_lines_of_code():
    blocks = blocks_of(ROOT / "README.md")

    commands = [block.text.splitlines() for block in blocks if block.language == "console"]
    (code,) = [block.text for block in blocks if block.language == "python"]
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
