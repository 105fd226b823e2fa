"""A music store in the shape of Chinook: loaded, evaluated, compared between databases."""

import os
import sys
from decimal import Decimal
from typing import Any

from generator import make_store
from music import declare_models
from report import build_report

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

runtime = LocalRuntime()


def load(db: DataFlow) -> None:
    """Load the store with six bulk nodes in one transaction, unless it is there already."""
    if db.count("Artist"):
        return
    workflow = WorkflowBuilder("load", db=db)
    for model, records in make_store().items():
        # Not connected: foreign keys say that albums wait for artists, and so on.
        workflow.add_node(f"{model}BulkCreateNode", model, {"data": records})
    runtime.execute(workflow, transaction=True)


def evaluate(url: str) -> dict[str, Any]:
    """Return `{node id: records or result}` of the report, and counts of the models."""
    with DataFlow(url) as db:
        declare_models(db)
        load(db)
        counts = {model: db.count(model) for model in db.list_models()[:6]}
        results, _ = runtime.execute(build_report(db))
    stored = results.pop("store")
    found = {node: out.get("records", out.get("result", out)) for node, out in results.items()}
    return {"counts": counts, "stored": stored["processed"]} | found


def show(result: dict[str, Any]) -> None:
    for model, count in result["counts"].items():
        print(f"{model:<12} {count:>5}")
    months = result["report"]
    total = sum((month["revenue"] for month in months), Decimal(0))
    print(f"revenue {total} in {len(months)} months, {months[0]['month']} to {months[-1]['month']}")
    print(f"every invoice is the sum of its lines: {result['check']['ok']}")
    print("best months:")
    for month in result["best"]:
        print(f"  {month['month']}  {month['revenue']:>6}  {month['lines']} lines")
    for title, ranking in (("genres", result["genres"]), ("artists", result["top_artists"])):
        print(f"best {title}:")
        for name, revenue in ranking:
            print(f"  {name:<24} {revenue:>7}")


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DATABASE_URL")
    result = evaluate("sqlite:///:memory:")
    show(result)
    if given:
        same = evaluate(given) == result
        print(f"the other database gives {'the same' if same else 'ANOTHER'} result")
        sys.exit(not same)


if __name__ == "__main__":
    main()
