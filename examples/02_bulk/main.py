"""The four bulk nodes, and what a bulk create does with records that do not fit."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder

db = DataFlow(*sys.argv[1:2])
runtime = LocalRuntime()


@db.model
class Product:
    sku: str = Field(unique=True, max_length=12)
    name: str
    price: Decimal = Field(max_digits=10, decimal_places=2, ge=0)
    stock: int = 0
    discontinued: bool = False


def products(count: int) -> Iterator[dict[str, Any]]:
    """Yield products one by one; a bulk node never holds more than a batch of them."""
    for number in range(1, count + 1):
        price = Decimal(number) / 100
        yield {"sku": f"P-{number:05}", "name": f"Product {number}", "price": price}


def main() -> None:
    load = WorkflowBuilder("load", db=db)
    load.add_node("ProductBulkCreateNode", "create", {"data": products(10_000)})
    # Not connected, but all of them touch the same table: they keep the written order.
    load.add_node(
        "ProductBulkUpsertNode",
        "upsert",
        {
            "data": [
                {"sku": "P-00001", "name": "Product 1, new edition", "price": "12.50"},
                {"sku": "P-10001", "name": "Product 10001", "price": "99.00"},
            ],
            "conflict_on": ["sku"],
        },
    )
    load.add_node(
        "ProductBulkUpdateNode",
        "restock",
        {"filter": {"price": {"$lt": "1.00"}}, "fields": {"stock": 500}},
    )
    load.add_node(
        "ProductBulkUpdateNode", "correct", {"data": [{"id": 2, "stock": 7}, {"id": 3, "stock": 9}]}
    )
    load.add_node("ProductBulkDeleteNode", "prune", {"filter": {"price": {"$gte": "50.00"}}})
    load.add_node(
        "ProductListNode",
        "shelf",
        {"fields": ["sku", "price", "stock"], "sort": "sku", "limit": 3, "count": True},
    )
    results, _ = runtime.execute(load)

    created = results["create"]
    print(f"create:  {created['inserted']} of {created['processed']} inserted")
    print(f"upsert:  {results['upsert']['inserted']} new, {results['upsert']['updated']} changed")
    print(f"restock: {results['restock']['updated']} changed by one filter")
    print(f"correct: {results['correct']['updated']} changed, each by its own row")
    print(f"prune:   {results['prune']['deleted']} deleted")
    print(f"shelf:   {results['shelf']['total']} left, for example")
    for record in results["shelf"]["records"]:
        print(f"  {record['sku']}  {record['price']:>6}  stock {record['stock']}")

    supplier = WorkflowBuilder("supplier", db=db)
    supplier.add_node(
        "ProductBulkCreateNode",
        "import",
        {
            "data": [
                {"sku": "S-1", "name": "Lamp", "price": "19.90"},
                {"sku": "S-2", "name": "Desk", "price": "cheap"},
                {"sku": "P-00002", "name": "A sku that exists", "price": "1.00"},
                {"sku": "S-3", "name": "Chair", "price": "49.00"},
            ],
            "on_error": "collect",
        },
    )
    results, _ = runtime.execute(supplier)

    imported = results["import"]
    print(f"import:  {imported['inserted']} of {imported['processed']} inserted, rejected:")
    for rejected in imported["rejected"]:
        print(f"  record {rejected['index']}: {rejected['field']}")


if __name__ == "__main__":
    main()
