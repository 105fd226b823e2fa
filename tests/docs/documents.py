"""Source documents whose snippets run: their text, their blocks, and the names mapped."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pages import DOCS, ROOT, code_of, tables_of
from sqlalchemy.orm import DeclarativeBase, Mapper

SEEDS = Path("shared") / "seeds"
_PART = re.compile(
    r"^#+ (?P<heading>[^\n]*)$|^```\w*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Document:
    """A document, read where it is at hand, else from the checked-in copy.

    Args:
        name: Its file's name.
        names: The page of the reference whose first table maps its names.
    """

    def __init__(self, name: str, names: str) -> None:
        self._name = name
        self.names = DOCS / "reference" / names
        self.copy = Path(__file__).parent / f"document_{name[:3]}.txt"

    @property
    def original(self) -> Path | None:
        places = [folder / SEEDS / self._name for folder in ROOT.parents[:2]]
        return next((place for place in places if place.exists()), None)

    @cached_property
    def text(self) -> str:
        return (self.original or self.copy).read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> dict[str, str]:
        """`{name: code}` of all blocks, named by the heading above, with a number from 2."""
        blocks: dict[str, str] = {}
        heading = ""
        for part in _PART.finditer(self.text):
            if part["heading"]:
                heading = re.sub(r"\W+", "_", part["heading"].lower()).strip("_")
                continue
            name, number = heading, 2
            while name in blocks:
                name, number = f"{heading}_{number}", number + 1
            blocks[name] = part["code"]
        return blocks

    def section(self, heading: str) -> str:
        """Return what stands under a heading, up to the next one of any level."""
        return self.text.partition(f"{heading}\n")[2].partition("\n#")[0]

    def mapped(self, code: str) -> str:
        """Return code with its names mapped by the table of the reference."""
        for written, here in tables_of(self.names, "## Names"):
            code = code.replace(code_of(written), code_of(here))
        return code


class Snippets:
    """A namespace in which a document's blocks run, and what they leave behind."""

    def __init__(self, document: Document, **names: Any) -> None:
        self._document = document
        self.names: dict[str, Any] = {"__name__": f"snippets_{id(self)}", **names}

    async def run(self, name: str) -> None:
        """Run a block as written."""
        await self.run_code(self._document.blocks[name], name)

    async def run_code(self, code: str, place: str) -> None:
        """Run code, which may await."""
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        text = self._document.mapped(code)
        compiled = compile(text, f"<{place}>", "exec", flags, dont_inherit=True)
        running = eval(compiled, self.names)
        if inspect.isawaitable(running):
            await running

    def forget(self) -> None:
        """Undo the declaration of classes, so that the next test can declare them."""
        for found in list(self.names.values()):
            mapper = sa.inspect(found, raiseerr=False)
            if isinstance(mapper, Mapper) and found.__module__ == self.names["__name__"]:
                forget(mapper)
        self.names.clear()


def forget(mapper: Mapper[Any]) -> None:
    base: type[DeclarativeBase] = mapper.class_
    base.metadata.remove(mapper.local_table)  # type: ignore[arg-type]  # declared ones have a table
    manager = mapper.class_manager
    base.registry._dispose_manager_and_mapper(manager)
    base.registry._managers.pop(manager, None)
