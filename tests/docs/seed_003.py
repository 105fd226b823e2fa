"""The Python blocks of the source document 003, and the names that stand for its own."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from pages import DOCS, code_of, tables_of

COPIES = Path(__file__).parent / "seed_003_blocks"
ROOT = Path(__file__).parents[2]
SEED = Path("shared") / "seeds" / "003_dotmac_toolkit.md"
NAMES_PAGE = DOCS / "reference" / "names-toolkit.md"


def find_seed() -> Path | None:
    """Return the path of the document, or None where it is not at hand."""
    places = [folder / SEED for folder in ROOT.parents[:2]]
    return next((place for place in places if place.exists()), None)


def read_blocks(document: Path) -> dict[str, str]:
    """Return `{block name: code}`; a name is the heading before the block, and a number."""
    blocks: dict[str, str] = {}
    heading, code = "", None
    for line in document.read_text(encoding="utf-8").splitlines():
        if code is not None and line.strip() == "```":
            name = next(n for number in range(1, 9) if (n := f"{heading}_{number}") not in blocks)
            blocks[name] = dedent("\n".join(code)).strip("\n") + "\n"
            code = None
        elif code is not None:
            code.append(line)
        elif line.strip() == "```python":
            code = []
        elif found := re.match(r"(?:#+ |\d\. \*\*|\*\*)(.*?)[*:]*$", line):
            heading = re.sub(r"\W+", "_", found[1].lower()).strip("_")
    return blocks


def read_copies() -> dict[str, str]:
    """Return `{block name: code}` of the checked-in copy."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(COPIES.glob("*.txt"))}


def names() -> dict[str, str]:
    """Return `{written: meant}` of the documentation's table."""
    rows = tables_of(NAMES_PAGE, "## Names")
    return {code_of(row[0]): code_of(row[1]) for row in rows}


def runnable(code: str) -> str:
    """Return a block with its names replaced, and nothing else; the longest name first."""
    table = names()
    for written in sorted(table, key=len, reverse=True):
        code = code.replace(written, table[written])
    return code
