"""What a stage of a pipeline finds: documents, what they have, and whether they are in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.faults.mongo.documents import Document
from bench.faults.mongo.filters import COLUMNS, Place

# Not among them is "inexact": a number whose last digits nobody promises.
SCALARS = ("number", "decimal", "text", "flag", "instant", "json")
ITEM = (
    *COLUMNS, Place("tags", "list"),
    Place("meta.score", "number", null=True, missing=True),
    Place("meta.prefs.theme", "text", null=True, missing=True, ascii=False),
    Place("meta.prefs.size", "json", null=True, missing=True),
    Place("meta.vip", "flag", missing=True),
    Place("meta.level", "json", null=True, missing=True),
    Place("meta.mixed", "json", null=True, missing=True),
    Place("meta.codes", "list", missing=True),
    Place("meta.items", "objects", missing=True),
    Place("meta.items.qty", "spread", missing=True), Place("meta", "other"),
    Place("extra.note", "text", missing=True, ascii=False),
)  # fmt: skip
PART = (
    Place("qty", "number", null=True, missing=True),
    Place("sku", "text", missing=True, ascii=False),
    Place("opt", "json", null=True, missing=True),
)
ORDER = (
    Place("id", "number", missing=True), Place("quantity", "number", null=True, missing=True),
    Place("status", "text", missing=True),
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """What a stage finds.

    Attributes:
        documents: The documents, as the oracle has them.
        places: What they have.
        key: Names whose values are different in every document; empty where none are.
        ordered: Whether their order is known.
        fresh: Whether they are still the table's records.
        final: Whether nothing may follow.
    """

    documents: Sequence[Document]
    places: tuple[Place, ...] = ITEM
    key: tuple[str, ...] = ("id",)
    ordered: bool = False
    fresh: bool = True
    final: bool = False

    def of(self, *kinds: str) -> list[Place]:
        return [place for place in self.places if place.kind in kinds]

    @property
    def scalars(self) -> list[Place]:
        return self.of(*SCALARS)

    @property
    def lists(self) -> list[Place]:
        """Return the lists whose elements are in order."""
        return [place for place in self.of("list") if not place.path.startswith("set")]
