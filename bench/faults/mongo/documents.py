"""Random documents: typed columns, and JSON with everything that a path may meet.

Numbers inside JSON are never 0 or 1, which Python holds for False and True, and keys
stand in sorted order, because MongoDB compares objects with their order.
"""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import Any

from dataflow import DataFlow

Document = dict[str, Any]

NAMES = (
    "Ada", "ada", "ADA L", "Grace", "Linus", "Élodie", "élodie", "O'Neil", "100%", "a_b", "axb",
    "back\\slash", "", "Ann-Marie", "Bob 2", 'say "hi"', "(x)", "a.b", "Bob 22", "日本",
)  # fmt: skip
CITIES = ("Oslo", "oslo", "Bergen", "Paris", "Lyon", "New York", "Rome")
STATUSES = ("new", "paid", "sent")
WORDS = (
    "dark", "light", "Dark", "solar", "", "x1", "x22", "é", "É", "a%b", "it's", "a_b", "acb", "red",
    'q"t', "back\\slash",
)  # fmt: skip
NUMBERS = (2, 3, 3.0, 4.5, -7, 10, 100, 2.5, 1_000_000, 7, 2**40, -0.5)
SCORES = (2, 3, 4.5, -7, 10, 12, 2.5, 7, -0.5)
ODD_KEY = 'it\'s "k"'
AGES = (-3, 0, 1, 2, 17, 18, 18, 41, 41, 65)


def open_catalog(url: str) -> DataFlow:
    """Return a DataFlow with the models `Item` and `Order`."""
    db = DataFlow(url)

    @db.model(timestamps=False)
    class Item:
        id: int
        name: str
        city: str | None
        age: int | None
        price: float | None
        amount: Decimal | None
        active: bool
        born: dt.datetime | None
        tags: list[Any]
        meta: dict[str, Any]
        extra: dict[str, Any] | None

    @db.model(timestamps=False)
    class Order:
        id: int
        item_id: int | None
        quantity: int | None
        status: str

    return db


class Documents:
    """Makes the documents of one batch.

    Args:
        dice: Where chance comes from.
        odd: Whether scalars stand where other documents have objects.
    """

    def __init__(self, dice: random.Random, *, odd: bool) -> None:
        self.dice = dice
        self.odd = odd

    def items(self, count: int) -> list[Document]:
        return [self.item(number) for number in range(1, count + 1)]

    def orders(self, count: int, items: int) -> list[Document]:
        choice = self.dice.choice
        return [
            {
                "id": number,
                "item_id": self.maybe(choice(range(1, items + 1)), 0.9),
                "quantity": self.maybe(choice(AGES), 0.8),
                "status": choice(STATUSES),
            }
            for number in range(1, count + 1)
        ]

    def maybe(self, value: Any, chance: float = 0.75) -> Any:
        return value if self.dice.random() < chance else None

    def item(self, number: int) -> Document:
        choice = self.dice.choice
        born = dt.datetime(choice((1969, 1987, 2020, 2024)), choice((1, 2, 12)), choice((1, 28)),
                           choice((0, 7, 23)), choice((0, 59)), tzinfo=dt.UTC)  # fmt: skip
        return {
            "id": number,
            "name": choice(NAMES),
            "city": self.maybe(choice(CITIES)),
            "age": self.maybe(choice(AGES)),
            "price": self.maybe(self.dice.randrange(-8, 41) * 0.25),
            "amount": self.maybe(Decimal(self.dice.randrange(-200, 1_000)) / 20),
            "active": choice((True, False)),
            "born": self.maybe(born),
            "tags": self.some(self.scalar, 4),
            "meta": self.meta(),
            "extra": self.extra(),
        }

    def scalar(self) -> Any:
        kind = self.dice.random()
        if kind < 0.1:
            return None
        return self.dice.choice(WORDS if kind < 0.65 else NUMBERS)

    def some(self, make: Any, longest: int) -> list[Any]:
        return [make() for _ in range(self.dice.choice(range(longest + 1)))]

    def chosen(self, chance: float = 0.7, **makers: Any) -> Document:
        """Return an object with some of the keys, in sorted order."""
        keys = [key for key in sorted(makers) if self.dice.random() < chance]
        return {key: makers[key]() for key in keys}

    def word(self) -> str:
        return self.dice.choice(WORDS)

    def meta(self) -> Document:
        choice = self.dice.choice
        made = self.chosen(
            prefs=self.prefs,
            score=lambda: self.maybe(choice(SCORES), 0.85),
            level=self.level,
            mixed=self.scalar,
            items=lambda: self.some(self.part, 3),
            vip=lambda: choice((True, False)),
            codes=lambda: self.some(self.scalar, 4),
            years=lambda: self.chosen(**{"2020": self.scalar, "2021": self.scalar}),
            odd=self.odd_value,
            **{ODD_KEY: self.word},
        )
        return dict(sorted(made.items()))

    def level(self) -> Any:
        return self.scalar() if self.dice.random() < 0.5 else self.dice.choice((True, False))

    def prefs(self) -> Any:
        if self.odd and self.dice.random() < 0.2:
            return self.scalar()
        return self.chosen(
            theme=lambda: self.maybe(self.word(), 0.9),
            size=lambda: self.maybe(self.dice.choice(NUMBERS), 0.9),
            flags=lambda: self.some(self.word, 3),
        )

    def part(self) -> Document:
        return self.chosen(
            0.8,
            qty=lambda: self.maybe(self.dice.choice(SCORES), 0.9),
            sku=self.word,
            parts=lambda: self.some(self.word, 2),
            opt=self.scalar,
        )

    def odd_value(self) -> Any:
        inner = lambda: self.chosen(x=self.scalar, y=self.scalar)  # noqa: E731
        if not self.odd:
            return self.dice.choice((inner, lambda: self.some(inner, 2)))()
        mixed = lambda: self.some(self.dice.choice((inner, self.scalar)), 3)  # noqa: E731
        return self.dice.choice((inner, mixed, self.scalar, lambda: self.some(inner, 2)))()

    def extra(self) -> Document | None:
        if self.odd and self.dice.random() < 0.3:
            return None
        return self.chosen(note=self.word, list=lambda: self.some(self.scalar, 3))
