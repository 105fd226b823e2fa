"""Functions and classes as nodes; branches, conditions, retries and tolerated failures."""

import sys
from decimal import Decimal
from typing import Any

from dataflow import DataFlow, LocalRuntime, Node, Retry, WorkflowBuilder

db = DataFlow(*sys.argv[1:2])
CENT = Decimal("0.01")


@db.model
class Order:
    customer: str
    total: Decimal
    status: str = "new"


@db.node(pure=True)
def discount(total: Decimal, percent: Decimal) -> Decimal:
    """Return the total after a discount; the output is called `result`."""
    return (total * (100 - percent) / 100).quantize(CENT)


@db.node
class Classify(Node):
    """Decide what happens to an order; a dict gives named outputs."""

    async def run(self, *, total: Decimal, limit: Decimal = Decimal(100)) -> dict[str, Any]:
        """Return whether the order is large, and a text for people."""
        is_large = total >= limit
        return {"is_large": is_large, "text": "large" if is_large else "small"}


class Carrier:
    """A service that is not there at the first call of each order."""

    def __init__(self) -> None:
        self.calls = 0

    def book(self) -> str:
        self.calls += 1
        if self.calls % 2:
            raise ConnectionError("the carrier does not answer")
        return f"parcel {self.calls // 2}"


carrier = Carrier()


@db.node(name="BookParcel")
def book_parcel(order_id: int) -> dict[str, Any]:
    """Book a parcel; runs in a worker thread, because it may block."""
    return {"order_id": order_id, "parcel": carrier.book()}


@db.node
def send_mail(customer: str) -> dict[str, Any]:
    """Fail, as mail does; the run goes on with `on_error="continue"`."""
    raise OSError(f"no mail server for {customer}")


def build() -> WorkflowBuilder:
    workflow = WorkflowBuilder("order", db=db)
    percent = workflow.add_input("percent", Decimal, default=Decimal(10))
    order = workflow.add_node("OrderCreateNode", "order", {"customer": "Ada", "total": "120.00"})
    price = workflow.add_node(discount, "price", {"total": order["total"], "percent": percent})
    size = workflow.add_node("Classify", "size", {"total": price["result"]})
    # Only the nodes behind the chosen output run: `true` or `false`.
    way = workflow.add_node("SwitchNode", "way", {"value": size["is_large"], "data": order["id"]})
    workflow.add_node("OrderUpdateNode", "review", {"id": way["true"], "status": "in review"})
    workflow.add_node("OrderUpdateNode", "release", {"id": way["false"], "status": "released"})
    workflow.add_node("MergeNode", "status")
    workflow.connect("review.status", "status.review")
    workflow.connect("release.status", "status.release")
    retry = Retry(attempts=3, delay_s=0.01)
    workflow.add_node("BookParcel", "parcel", {"order_id": order["id"]}, retry=retry)
    workflow.add_node(send_mail, "mail", {"customer": order["customer"]}, on_error="continue")
    workflow.add_node("OrderReadNode", "check", {"id": order["id"]}, when=size["is_large"])
    return workflow


def main() -> None:
    workflow = build().build()
    runtime = LocalRuntime()
    for percent in (10, 50):
        results, _ = runtime.execute(workflow, inputs={"percent": percent})

        print(f"{percent} percent off: {results['price']['result']}, {results['size']['text']}")
        print(f"  status: {results['status']['result']}")
        print(f"  parcel: {results['parcel']['parcel']}, after a retry")
        print(f"  mail:   {results['mail']['error_type']}: {results['mail']['error']}")
        skipped = [name for name, status in results.status.items() if status == "skipped"]
        print(f"  skipped: {', '.join(skipped)}")


if __name__ == "__main__":
    main()
