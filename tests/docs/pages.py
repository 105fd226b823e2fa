"""Pages of the documentation and the blocks in them."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\|(?P<cells>.*)\|$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        shows: The text block that follows a Python block directly: what it prints, or
            the error that it raises.
    """

    language: str
    text: str
    line: int
    shows: str | None


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Return the page's fenced blocks in order."""
    source = page.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(source))
    blocks = []
    for fence, following in zip_longest(found, found[1:]):
        shows = None
        if following is not None and following["language"] == "text":
            between = source[fence.end() : following.start()]
            shows = following["text"] if not between.strip() else None
        line = source.count("\n", 0, fence.start()) + 1
        blocks.append(Block(fence["language"], fence["text"], line, shows))
    return blocks


def tables_of(page: Path, heading: str = "") -> list[list[str]]:
    """Return the rows of the tables under a heading (all, when none is given), as cells.

    Rows of heads and rules are left out.
    """
    source = page.read_text(encoding="utf-8")
    if heading:
        source = source.partition(f"\n{heading}\n")[2]
        source = re.split(rf"^#{{1,{heading.count('#')}}} ", source, flags=re.MULTILINE)[0]
    rows = [[cell.strip() for cell in _cells(row["cells"])] for row in _ROW.finditer(source)]
    heads = {n - 1 for n, row in enumerate(rows) if set("".join(row)) <= set("-: ")}
    return [row for n, row in enumerate(rows) if n not in heads and n - 1 not in heads]


def _cells(row: str) -> list[str]:
    return [cell.replace("\0", "|") for cell in row.replace(r"\|", "\0").split("|")]


def code_of(cell: str) -> str:
    """Return the text of a cell that is one piece of code."""
    return cell.strip("`")
