"""The code blocks of the source document 001, from the document or from the checked-in copy."""

from __future__ import annotations

import re
from pathlib import Path

from pages import DOCS, code_of, tables_of

COPIES = Path(__file__).parent / "seed_001_blocks"
ROOT = Path(__file__).parents[2]
SEED = Path("shared") / "seeds" / "001_ta_generator_quickstart.md"
NAMES = DOCS / "reference" / "names-ta-generator.md"
_PART = re.compile(
    r"^#+ (?P<heading>[^\n]*)$|^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


def find_seed() -> Path | None:
    """Return the path of the document, or None where it is not at hand."""
    places = [folder / SEED for folder in ROOT.parents[:2]]
    return next((place for place in places if place.exists()), None)


def read_blocks(document: Path) -> dict[str, str]:
    """Return `{block name: code}`, named by the heading above; installing is left out."""
    blocks: dict[str, str] = {}
    name = ""
    for part in _PART.finditer(document.read_text(encoding="utf-8")):
        if part["heading"]:
            name = re.sub(r"\W+", "_", part["heading"].lower()).strip("_")
        elif "pip install" not in part["code"]:
            assert name not in blocks, name
            blocks[name] = part["code"]
    return blocks


def read_copies() -> dict[str, str]:
    """Return `{block name: code}` of the checked-in copy."""
    return {path.stem: path.read_text(encoding="utf-8") for path in COPIES.glob("*.txt")}


def runnable(code: str) -> str:
    """Return a block with its names mapped by the table of the documentation."""
    for written, here in tables_of(NAMES):
        code = code.replace(code_of(written), code_of(here))
    return code
