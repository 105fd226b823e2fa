"""Records in the shape of Chinook, made from a seed: the same on every machine.

Counts, prices, genres, countries and dates follow the original; names are invented.
Only `Random.random()` is used, whose sequence Python keeps from version to version.
"""

import datetime as dt
from decimal import Decimal
from random import Random
from typing import Any

ARTISTS, ARTISTS_WITH_ALBUMS, ALBUMS = 275, 204, 347
FIRST_DAY, LAST_DAY = dt.date(2009, 1, 1), dt.date(2013, 12, 22)
LINES_PER_INVOICE = (1, 2, 2, 4, 6, 9, 14)  # the seven invoices of each customer
AUDIO, VIDEO = Decimal("0.99"), Decimal("1.99")
VIDEO_GENRES = {"TV Shows", "Drama", "Sci Fi & Fantasy", "Comedy", "Science Fiction"}
GENRES = {
    "Rock": 1297, "Latin": 579, "Metal": 374, "Alternative & Punk": 332, "Jazz": 130,
    "TV Shows": 93, "Blues": 81, "Classical": 74, "Drama": 64, "R&B/Soul": 61, "Reggae": 58,
    "Pop": 48, "Soundtrack": 43, "Alternative": 40, "Hip Hop/Rap": 35, "Electronica/Dance": 30,
    "Heavy Metal": 28, "World": 28, "Sci Fi & Fantasy": 26, "Easy Listening": 24, "Comedy": 17,
    "Bossa Nova": 15, "Science Fiction": 13, "Rock And Roll": 12, "Opera": 1,
}  # fmt: skip
COUNTRIES = {
    "USA": 13, "Canada": 8, "France": 5, "Brazil": 5, "Germany": 4, "United Kingdom": 3,
    "Czech Republic": 2, "Portugal": 2, "India": 2, "Argentina": 1, "Australia": 1, "Austria": 1,
    "Belgium": 1, "Chile": 1, "Denmark": 1, "Finland": 1, "Hungary": 1, "Ireland": 1, "Italy": 1,
    "Netherlands": 1, "Norway": 1, "Poland": 1, "Spain": 1, "Sweden": 1,
}  # fmt: skip
FIRST = (
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jan", "Kira", "Leo",
    "Mia", "Nils", "Olga", "Paul", "Rosa",
)  # fmt: skip
LAST = (
    "Adams", "Berg", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jansen",
    "Kaya", "Lopez",
)  # fmt: skip
COLOURS = (
    "Silver", "Golden", "Crimson", "Velvet", "Electric", "Quiet", "Broken", "Hidden", "Lonely",
    "Northern",
)  # fmt: skip
THINGS = (
    "Rivers", "Engines", "Mirrors", "Lanterns", "Wolves", "Harbours", "Satellites", "Gardens",
    "Echoes", "Trains",
)  # fmt: skip

Records = list[dict[str, Any]]


def _expand(counts: dict[str, int]) -> list[str]:
    return [name for name, count in counts.items() for _ in range(count)]


def _title(number: int) -> str:
    rest, place = divmod(number, 100)
    name = f"{COLOURS[place // 10]} {THINGS[place % 10]}"
    return f"{name} {rest + 1}" if rest else name


def make_artists() -> Records:
    return [{"id": n + 1, "name": f"The {_title(n)}"} for n in range(ARTISTS)]


def make_albums() -> Records:
    return [
        {"id": n + 1, "title": _title(n * 7), "artist_id": n * ARTISTS_WITH_ALBUMS // ALBUMS + 1}
        for n in range(ALBUMS)
    ]


def make_tracks(random: Random) -> Records:
    genres = _expand(GENRES)
    return [
        {
            "id": n + 1,
            "name": _title(n * 3),
            "album_id": n * ALBUMS // len(genres) + 1,
            "genre": genre,
            "milliseconds": 60_000 + int(random.random() * 480_000),
            "unit_price": VIDEO if genre in VIDEO_GENRES else AUDIO,
        }
        for n, genre in enumerate(genres)
    ]


def make_customers() -> Records:
    customers = []
    for n, country in enumerate(_expand(COUNTRIES)):
        first, last = FIRST[n % len(FIRST)], LAST[n % len(LAST)]
        email = f"{first}.{last}@example.com".lower()
        name = {"first_name": first, "last_name": last}
        customers.append({"id": n + 1, **name, "email": email, "country": country})
    return customers


def make_sales(random: Random, customers: Records, tracks: Records) -> tuple[Records, Records]:
    """Return invoices, in the order of their dates, and their lines."""
    orders = [(customer, lines) for customer in customers for lines in LINES_PER_INVOICE]
    orders.remove((customers[-1], 2))  # the last customer bought six times
    orders = [order for _, order in sorted((random.random(), o) for o in enumerate(orders))]
    invoices, lines = [], []
    for number, (_, (customer, count)) in enumerate(orders):
        bought = [tracks[int(random.random() * len(tracks))] for _ in range(count)]
        for track in bought:
            line = {"invoice_id": number + 1, "track_id": track["id"], "quantity": 1}
            lines.append({"id": len(lines) + 1, **line, "unit_price": track["unit_price"]})
        days = number * (LAST_DAY - FIRST_DAY).days // (len(orders) - 1)
        day = FIRST_DAY + dt.timedelta(days=days)
        invoices.append(
            {
                "id": number + 1,
                "customer_id": customer["id"],
                "invoice_date": dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC),
                "billing_country": customer["country"],
                "total": sum((track["unit_price"] for track in bought), Decimal(0)),
            }
        )
    return invoices, lines


def make_store(seed: int = 1) -> dict[str, Records]:
    """Return `{model name: records}`, in the order in which they can be loaded."""
    random = Random(seed)  # noqa: S311 - sample data, not a secret
    customers, tracks = make_customers(), make_tracks(random)
    invoices, lines = make_sales(random, customers, tracks)
    return {
        "Artist": make_artists(),
        "Album": make_albums(),
        "Track": tracks,
        "Customer": customers,
        "Invoice": invoices,
        "InvoiceLine": lines,
    }
