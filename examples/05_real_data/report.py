"""The monthly-revenue workflow: six lists, seven steps of own functions, an upsert, two lists."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from dataflow import DataFlow, Workflow, WorkflowBuilder, node

Records = list[dict[str, Any]]
Totals = dict[str, Decimal]


def _totals(sales: Records, key: str) -> Totals:
    totals: Totals = defaultdict(Decimal)
    for sale in sales:
        totals[sale[key]] += sale["amount"]
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _by_id(records: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {record["id"]: record for record in records}


@node(pure=True)
def join_sales(lines: Records, invoices: Records, customers: Records) -> Records:
    """Return one sale per invoice line, with its month and the buyer's country."""
    invoice_of, customer_of = _by_id(invoices), _by_id(customers)
    sales = []
    for line in lines:
        invoice = invoice_of[line["invoice_id"]]
        sales.append(
            {
                "invoice_id": invoice["id"],
                "track_id": line["track_id"],
                "month": f"{invoice['invoice_date']:%Y-%m}",
                "country": customer_of[invoice["customer_id"]]["country"],
                "amount": line["unit_price"] * line["quantity"],
            }
        )
    return sales


@node(pure=True)
def check_totals(sales: Records, invoices: Records) -> dict[str, Any]:
    """Return whether each invoice's total is the sum of its lines."""
    sums = _totals(sales, "invoice_id")
    wrong = [item["id"] for item in invoices if sums.get(item["id"]) != item["total"]]
    return {"ok": not wrong, "wrong": wrong}


@node(pure=True)
def revenue_by_month(sales: Records) -> Records:
    """Return one record per month, ready for `MonthlyRevenue`."""
    invoices: dict[str, set[int]] = defaultdict(set)
    lines: dict[str, int] = defaultdict(int)
    for sale in sales:
        invoices[sale["month"]].add(sale["invoice_id"])
        lines[sale["month"]] += 1
    return [
        {
            "month": month,
            "revenue": revenue,
            "invoices": len(invoices[month]),
            "lines": lines[month],
        }
        for month, revenue in _totals(sales, "month").items()
    ]


@node(pure=True)
def revenue_by_country(sales: Records) -> Totals:
    """Return `{country: revenue}`, the largest first."""
    return _totals(sales, "country")


@node(pure=True)
def add_catalogue(sales: Records, tracks: Records, albums: Records, artists: Records) -> Records:
    """Return the sales with genre and artist."""
    track_of, album_of, artist_of = _by_id(tracks), _by_id(albums), _by_id(artists)
    named = []
    for sale in sales:
        track = track_of[sale["track_id"]]
        artist = artist_of[album_of[track["album_id"]]["artist_id"]]
        named.append({**sale, "genre": track["genre"], "artist": artist["name"]})
    return named


@node(pure=True)
def rank(sales: Records, key: str, top: int = 3) -> list[tuple[str, Decimal]]:
    """Return the `top` groups by revenue."""
    return list(_totals(sales, key).items())[:top]


def build_report(db: DataFlow) -> Workflow:
    """Return the workflow that computes, stores and reads the monthly revenue."""
    wf = WorkflowBuilder("monthly_revenue", db=db)
    read = {
        name: wf.add_node(f"{model}ListNode", name, {"limit": None})["records"]
        for name, model in {
            "artists": "Artist", "albums": "Album", "tracks": "Track",
            "customers": "Customer", "invoices": "Invoice", "lines": "InvoiceLine",
        }.items()
    }  # fmt: skip
    invoices = read["invoices"]
    sales = wf.add_node(
        join_sales,
        "sales",
        {"lines": read["lines"], "invoices": invoices, "customers": read["customers"]},
    )["result"]
    wf.add_node(check_totals, "check", {"sales": sales, "invoices": invoices})
    months = wf.add_node(revenue_by_month, "months", {"sales": sales})
    wf.add_node(revenue_by_country, "countries", {"sales": sales})
    catalogue = {name: read[name] for name in ("tracks", "albums", "artists")}
    named = wf.add_node(add_catalogue, "catalogue", {"sales": sales, **catalogue})["result"]
    wf.add_node(rank, "genres", {"sales": named, "key": "genre"})
    wf.add_node(rank, "top_artists", {"sales": named, "key": "artist"})
    wf.add_node("MonthlyRevenueBulkUpsertNode", "store", {"data": months["result"]})
    shown = {"fields": ["month", "revenue", "invoices", "lines"]}
    wf.add_node("MonthlyRevenueListNode", "report", {"sort": "month", **shown})
    best = {"sort": ["-revenue", "month"], "limit": 3, **shown}
    wf.add_node("MonthlyRevenueListNode", "best", best)
    return wf.build()
