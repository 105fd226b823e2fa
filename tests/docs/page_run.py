"""Running the blocks of a page, one after the other, as a reader would."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest
from pages import Block, blocks_of, name_of

from dataflow import DataFlow, DataFlowError
from dataflow.nodes.registry import default_registry

__all__ = ["IN_MEMORY", "PageRun", "assert_page_runs"]

IN_MEMORY = "sqlite:///:memory:"


class PageRun:
    """One namespace in which the blocks of a page run in order."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}
        self._shared = default_registry.names()
        self._databases: list[DataFlow] = []

    def run(self, block: Block, capsys: pytest.CaptureFixture[str]) -> str:
        """Run a block and return what it printed, or the error that its page shows."""
        # Lines of errors count from the block's first line, as a reader counts.
        code = compile(block.text, "app.py", "exec", dont_inherit=True)
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


def assert_page_runs(page: Path, capsys: pytest.CaptureFixture[str], url: str = IN_MEMORY) -> None:
    """Run a page's Python blocks and compare what they print with what it shows.

    Args:
        url: Stands in for the in-memory database.
    """
    run = PageRun()
    try:
        for block in blocks_of(page):
            if block.language != "python":
                continue
            printed = run.run(block._replace(text=block.text.replace(IN_MEMORY, url)), capsys)

            place = f"{name_of(page)}:{block.line}"
            assert (place, without_what_varies(printed)) == (
                place,
                without_what_varies(block.shows or ""),
            )
    finally:
        run.close()
