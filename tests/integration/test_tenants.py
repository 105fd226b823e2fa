"""Models that tenants share: every verb, node and query keeps to the tenant of the call."""

import asyncio
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dataflow import AsyncLocalRuntime, DataFlow, Field, LocalRuntime, Relationship, WorkflowBuilder
from dataflow.errors import (
    DataFlowError,
    ForeignKeyViolationError,
    ParameterError,
    RecordValidationError,
    TenantRequiredError,
    UniqueViolationError,
    WorkflowFailedError,
)

RunNode = Callable[[str, dict[str, Any]], dict[str, Any]]


def declare_shop(db: DataFlow) -> None:
    @db.model
    class Country:
        code: str = Field(primary_key=True)
        orders: list["Order"] = Relationship()

    @db.model(multi_tenant=True)
    class Customer:
        id: int
        name: str
        email: str = Field(unique=True)
        orders: list["Order"] = Relationship(back_populates="customer")

    @db.model(multi_tenant=True, soft_delete=True, versioned=True)
    class Order:
        id: int
        total: int
        meta: dict[str, Any] = Field(default_factory=dict)
        customer_id: int | None = Field(default=None, foreign_key=Customer)
        country_code: str | None = Field(default=None, foreign_key=Country)
        customer: Customer | None = Relationship(back_populates="orders")

    @db.model(multi_tenant=True)
    class Product:
        sku: str = Field(primary_key=True)
        price: int = 0


@pytest.fixture
def shop(db: DataFlow) -> DataFlow:
    """Two tenants with the same emails and the same keys of products."""
    declare_shop(db)
    db.create("Country", code="NZ")
    for tenant, factor in (("acme", 1), ("globex", 1000)):
        with db.tenant(tenant):
            ada = db.create("Customer", name=f"Ada of {tenant}", email="ada@x.org")
            rows = [
                {"total": n * factor, "customer_id": ada["id"], "country_code": "NZ",
                 "meta": {"n": n * factor}}
                for n in (1, 2, 3)
            ]  # fmt: skip
            db.bulk_create("Order", rows)
            db.bulk_create("Product", [{"sku": sku, "price": factor} for sku in "ab"])
    return db


def key_of(db: DataFlow, tenant: str, model: str) -> Any:
    with db.tenant(tenant):
        return db.list(model, limit=1)["records"][0]["id"]


def state_of(db: DataFlow, tenant: str) -> dict[str, Any]:
    with db.tenant(tenant):
        return {
            model: db.list(model, limit=None, include_deleted=True)["records"]
            for model in ("Customer", "Order", "Product")
        }


def told(call: Callable[[], Any]) -> Any:
    """Return what a caller learns: the answer, or class and text of the error."""
    try:
        return call()
    except WorkflowFailedError as error:
        (cause,) = error.failures.values()
        return type(cause), str(cause)
    except DataFlowError as error:
        return type(error), str(error)


# ------------------------------------------------------------------- every call has a tenant

CALLS: dict[str, Callable[[DataFlow], Any]] = {
    "create": lambda db: db.create("Product", sku="x"),
    "read": lambda db: db.read("Product", "a"),
    "update": lambda db: db.update("Product", "a", {"price": 1}),
    "delete": lambda db: db.delete("Product", "a"),
    "list": lambda db: db.list("Product"),
    "count": lambda db: db.count("Product"),
    "bulk create": lambda db: db.bulk_create("Product", [{"sku": "x"}]),
    "bulk create, collected": lambda db: db.bulk_create(
        "Product", [{"sku": "x"}, {}], on_error="collect"
    ),
    "bulk update": lambda db: db.bulk_update("Product", {"sku": "a"}, {"price": 1}),
    "bulk update of rows": lambda db: db.bulk_update("Product", [{"sku": "a", "price": 1}]),
    "bulk delete": lambda db: db.bulk_delete("Product", all=True),
    "bulk upsert": lambda db: db.bulk_upsert("Product", [{"sku": "a", "price": 1}]),
    "query": lambda db: db.query("Product").all(),
    "first": lambda db: db.query("Product").first(),
    "query count": lambda db: db.query("Product").count(),
    "page": lambda db: db.query("Product").page(1),
    "aggregate": lambda db: db.query("Product").aggregate([{"$count": "n"}]),
    "sql": lambda db: db.query("Product").sql(),
    "explain": lambda db: db.query("Product").explain(),
    "include from a model of all": lambda db: db.list("Country", include=["orders"]),
    "lookup from a model of all": lambda db: db.query("Country").aggregate(
        [{"$lookup": {"from": "Order", "localField": "code", "foreignField": "country_code",
                      "as": "orders"}}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_without_a_tenant_is_refused_before_its_statement(
    name: str, url: str, caplog: pytest.LogCaptureFixture, statements: Callable[[], list[str]]
):
    with DataFlow(url, echo=True) as db:
        declare_shop(db)
        db.create("Country", code="NZ")
        for ready in (False, True):  # before the first use of the model, and after it
            if ready:
                with db.tenant("acme"):
                    CALLS[name](db)
            statements()

            with pytest.raises(TenantRequiredError):
                CALLS[name](db)

            sent = [sql for sql in statements() if "countries" not in sql]
            assert sent == []


@pytest.mark.parametrize("tenant", [None, ""])
def test_what_names_no_tenant_is_refused(tenant: Any, db: DataFlow):
    with pytest.raises(ParameterError, match="names no tenant"):
        db.tenant(tenant)


def test_a_tenant_that_does_not_fit_the_field_is_refused(shop: DataFlow):
    with shop.tenant("x" * 300), pytest.raises(ParameterError, match="does not fit"):
        shop.list("Order")


# ------------------------------------------------------------------- reads


def test_reads_see_the_tenants_records(shop: DataFlow):
    with shop.tenant("acme"):
        assert shop.count("Order") == 3
        assert [r["total"] for r in shop.list("Order", sort="total")["records"]] == [1, 2, 3]
        assert shop.read("Product", "a")["price"] == 1
        assert shop.list("Order", {"$or": [{"total": 1000}, {"total": 1}]})["count"] == 1
        assert shop.list("Order", {"$not": {"total": 1}})["count"] == 2
        assert shop.list("Order", {"meta.n": {"$gte": 1}})["count"] == 3
        assert shop.list("Order", {"meta.n": 2000}, count=True)["total"] == 0
        assert shop.list("Order", {"tenant_id": "globex"})["count"] == 0
        assert {r["tenant_id"] for r in shop.list("Order")["records"]} == {"acme"}


def test_pages_stay_with_the_tenant(shop: DataFlow):
    seen, after = [], None
    with shop.tenant("acme"):
        while True:
            page = shop.list("Order", sort="-total", limit=1, after=after)
            seen += [record["total"] for record in page["records"]]
            after = page["next"] or None
            if after is None:
                break

    assert seen == [3, 2, 1]


def test_a_cursor_of_another_tenant_shows_nothing_of_it(shop: DataFlow):
    with shop.tenant("globex"):
        after = shop.list("Order", sort="-total", limit=1)["next"]
    with shop.tenant("acme"):
        found = shop.list("Order", sort="-total", limit=10, after=after)["records"]

    assert {record["tenant_id"] for record in found} <= {"acme"}


def test_links_are_the_tenants(shop: DataFlow):
    with shop.tenant("acme"):
        customer = shop.list("Customer", include=["orders.customer"])["records"][0]
        country = shop.list("Country", include=["orders"])["records"][0]

    assert sorted(order["total"] for order in customer["orders"]) == [1, 2, 3]
    assert {order["customer"]["name"] for order in customer["orders"]} == {"Ada of acme"}
    assert sorted(order["total"] for order in country["orders"]) == [1, 2, 3]


LOOKUP = {"from": "Order", "localField": "id", "foreignField": "customer_id", "as": "orders"}
EMAILS = {"from": "Customer", "localField": "email", "foreignField": "email", "as": "same"}


def test_pipelines_are_the_tenants(shop: DataFlow):
    with shop.tenant("acme"):
        orders, customers = shop.query("Order"), shop.query("Customer")
        total = orders.aggregate([{"$group": {"_id": None, "sum": {"$sum": "$total"}}}])
        looked = customers.aggregate([{"$lookup": LOOKUP}])
        unwound = customers.aggregate([{"$lookup": LOOKUP}, {"$unwind": "$orders"}])
        same = customers.aggregate([{"$lookup": EMAILS}])
        facets = orders.aggregate(
            [{"$facet": {"count": [{"$count": "n"}], "big": [{"$match": {"total": {"$gt": 9}}}]}}]
        )
        of_all = shop.query("Country").aggregate(
            [{"$lookup": {**LOOKUP, "localField": "code", "foreignField": "country_code"}}]
        )

    assert total[0]["sum"] == 6
    assert sorted(order["total"] for order in looked[0]["orders"]) == [1, 2, 3]
    assert sorted(row["orders"]["total"] for row in unwound) == [1, 2, 3]
    assert [customer["name"] for customer in same[0]["same"]] == ["Ada of acme"]
    assert facets[0]["count"][0]["n"] == 3
    assert facets[0]["big"] == []
    assert sorted(order["total"] for order in of_all[0]["orders"]) == [1, 2, 3]


def test_a_kept_statement_serves_each_tenant_and_all_of_them(shop: DataFlow):
    pipeline = [{"$lookup": LOOKUP}]
    for _ in range(2):
        for tenant, first in (("acme", 1), ("globex", 1000)):
            with shop.tenant(tenant):
                assert shop.list("Order", sort="total")["records"][0]["total"] == first
                (found,) = shop.query("Customer").aggregate(pipeline)
                assert min(order["total"] for order in found["orders"]) == first
        with shop.all_tenants():
            assert shop.count("Order") == 6
            assert len(shop.query("Customer").aggregate(pipeline)) == 2
            assert len(shop.list("Country", include=["orders"])["records"][0]["orders"]) == 6


def test_all_tenants_may_read_and_not_write(shop: DataFlow):
    before = {name: state_of(shop, name) for name in ("acme", "globex")}
    reading = ("read", "list", "count", "query", "first", "page", "aggregate", "sql", "explain")
    calls = [CALLS[name] for name in CALLS if name not in reading and " from " not in name]
    with shop.all_tenants():
        assert shop.list("Product", {"sku": "a"})["count"] == 2
        for call in calls:
            if call is not CALLS["query count"]:
                with pytest.raises(TenantRequiredError, match="needs one tenant, not all"):
                    call(shop)

    assert {name: state_of(shop, name) for name in before} == before


# ------------------------------------------------------------------- writes


def test_writes_touch_the_tenants_records_alone(shop: DataFlow):
    before = state_of(shop, "globex")
    with shop.tenant("acme"):
        shop.bulk_update("Order", {"total": {"$gt": 0}}, {"total": 7})
        shop.bulk_update("Product", [{"sku": "a", "price": 5}, {"sku": "b", "price": 6}])
        shop.bulk_upsert("Product", [{"sku": "a", "price": 8}, {"sku": "c", "price": 9}])
        shop.update("Customer", {"email": "ada@x.org"}, {"name": "Ada L."})
        shop.bulk_upsert(
            "Customer", [{"email": "ada@x.org", "name": "Ada M."}], conflict_on=["email"]
        )
        shop.bulk_create("Product", [{"sku": "a", "price": 0}], on_conflict="skip")
        prices = {r["sku"]: r["price"] for r in shop.list("Product")["records"]}
        shop.delete("Product", "a")
        shop.bulk_delete("Order", all=True)
        shop.bulk_delete("Product", all=True, hard=True)

        assert prices == {"a": 8, "b": 6, "c": 9}
        assert shop.list("Customer")["records"][0]["name"] == "Ada M."
        assert shop.count("Order") == shop.count("Product") == 0

    assert state_of(shop, "globex") == before


def test_unique_values_are_so_within_a_tenant(shop: DataFlow):
    with shop.tenant("acme"):
        with pytest.raises(UniqueViolationError) as caught:
            shop.create("Customer", name="Eve", email="ada@x.org")
        shop.create("Customer", name="Bob", email="bob@x.org")
    with shop.tenant("globex"):
        shop.create("Customer", name="Bob", email="bob@x.org")

    assert "tenant" not in str(caught.value)


def test_nothing_tells_a_record_of_another_tenant_from_one_that_is_missing(shop: DataFlow):
    before = state_of(shop, "globex")
    theirs = {model: key_of(shop, "globex", model) for model in ("Customer", "Order")}
    missing = 987_654
    calls: list[Callable[[int, int], Any]] = [
        lambda order, _: shop.read("Order", order),
        lambda order, _: shop.read("Order", order, raise_on_not_found=True),
        lambda order, _: shop.update("Order", order, {"total": 1}),
        lambda order, _: shop.update("Order", order, {"total": 1}, expect_version=1),
        lambda order, _: shop.update("Order", {"id": order, "total": {"$gt": 0}}, {"total": 1}),
        lambda order, _: shop.delete("Order", order),
        lambda order, _: shop.delete("Order", order, hard=True, include_deleted=True),
        lambda order, _: shop.bulk_update("Order", [{"id": order, "total": 1}]),
        lambda order, _: shop.bulk_update("Order", {"id": {"$in": [order]}}, {"total": 1}),
        lambda order, _: shop.bulk_delete("Order", ids=[order], hard=True),
        lambda order, _: shop.bulk_upsert("Order", [{"id": order, "total": 1}]),
        lambda order, _: shop.bulk_upsert(
            "Order", [{"id": order, "total": 1}], on_conflict="ignore"
        ),
        lambda order, _: shop.create("Order", id=order, total=1),
        lambda order, _: shop.bulk_create("Order", [{"id": order, "total": 1}]),
        lambda order, _: shop.bulk_create(
            "Order", [{"id": order, "total": 1}], on_error="collect"
        ),
        lambda _, customer: shop.create("Order", total=1, customer_id=customer),
        lambda _, customer: shop.bulk_create("Order", [{"total": 1, "customer_id": customer}]),
        lambda _, customer: shop.bulk_create(
            "Order", [{"total": 1, "customer_id": customer}], on_error="collect"
        ),
        lambda _, customer: shop.bulk_update(
            "Order", {"total": 1}, {"customer_id": customer}
        ),
    ]  # fmt: skip

    def answer(call: Callable[[int, int], Any], order: int, customer: int) -> str:
        found = repr(told(lambda: call(order, customer)))
        return re.sub(rf"\b({order}|{customer})\b", "#", found)

    with shop.tenant("acme"):
        for call in calls:
            elsewhere = answer(call, theirs["Order"], theirs["Customer"])
            assert elsewhere == answer(call, missing, missing)

    assert state_of(shop, "globex") == before


def test_a_foreign_key_leads_to_the_tenants_own_records(shop: DataFlow):
    customer = key_of(shop, "globex", "Customer")

    with shop.tenant("acme"), pytest.raises(ForeignKeyViolationError, match="refers to no record"):
        shop.create("Order", total=1, customer_id=customer)


def test_a_foreign_key_to_a_model_that_is_declared_later_does_so_too(db: DataFlow):
    @db.model(multi_tenant=True)
    class Order:
        id: int
        customer_id: int = Field(foreign_key="customers.id")

    @db.model
    class Country:
        id: int

    @db.model(multi_tenant=True)
    class Customer:
        id: int

    with db.tenant("globex"):
        theirs = db.create("Customer")["id"]
    with db.tenant("acme"):
        mine = db.create("Customer")["id"]
        with pytest.raises(ForeignKeyViolationError):
            db.create("Order", customer_id=theirs)
        assert db.create("Order", customer_id=mine)["customer_id"] == mine


@pytest.mark.parametrize("value", ["globex", "", None, 5, {"$ne": "acme"}])
def test_a_tenant_in_the_body_must_be_the_calls(shop: DataFlow, value: Any):
    before = state_of(shop, "globex")
    row = {"sku": "new", "tenant_id": value}
    writes: list[Callable[[], Any]] = [
        lambda: shop.create("Product", row),
        lambda: shop.bulk_create("Product", [{"sku": "other"}, row]),
        lambda: shop.bulk_upsert("Product", [row]),
        lambda: shop.bulk_update("Product", [{**row, "sku": "a", "price": 3}]),
        lambda: shop.update("Order", {"total": 1}, {"tenant_id": value}),
        lambda: shop.bulk_update("Order", {"total": 1}, {"tenant_id": value}),
        lambda: shop.bulk_upsert("Product", [row], update_fields=["tenant_id"]),
    ]
    with shop.tenant("acme"):
        for write in writes:
            with pytest.raises(RecordValidationError, match="tenant_id"):
                write()
        collected = shop.bulk_create("Product", [row], on_error="collect")
        assert collected["rejected"][0]["field"] == "tenant_id"
        assert shop.count("Product") == 2

    assert state_of(shop, "globex") == before


def test_the_own_tenant_in_the_body_is_accepted(shop: DataFlow):
    with shop.tenant("acme"):
        assert shop.create("Product", sku="x", tenant_id="acme")["tenant_id"] == "acme"
        shop.bulk_upsert("Product", [{"sku": "x", "tenant_id": "acme", "price": 4}])
        assert shop.read("Product", "x")["price"] == 4


# ------------------------------------------------------------------- nodes and runs


def test_the_nine_nodes_see_the_tenants_records(shop: DataFlow, run_node: RunNode):
    before = state_of(shop, "globex")
    with shop.tenant("acme"):
        assert run_node("ProductCreateNode", {"sku": "n"})["tenant_id"] == "acme"
        assert run_node("ProductReadNode", {"sku": "a"})["price"] == 1
        assert run_node("ProductUpdateNode", {"filter": {"sku": "a"}, "fields": {"price": 2}})
        assert run_node("ProductDeleteNode", {"sku": "n"})
        assert run_node("ProductListNode", {"sort": "sku"})["count"] == 2
        run_node("ProductBulkCreateNode", {"data": [{"sku": "p"}, {"sku": "q"}]})
        run_node("ProductBulkUpdateNode", {"filter": {"price": 0}, "fields": {"price": 3}})
        run_node("ProductBulkUpsertNode", {"data": [{"sku": "p", "price": 4}]})
        run_node("ProductBulkDeleteNode", {"filter": {"sku": {"$in": ["a", "b"]}}})
        left = {r["sku"]: r["price"] for r in shop.list("Product")["records"]}

    assert left == {"p": 4, "q": 3}
    assert state_of(shop, "globex") == before


def test_a_run_has_a_tenant_and_leaves_none_behind(shop: DataFlow, runtime: LocalRuntime):
    workflow = WorkflowBuilder(db=shop)
    workflow.add_node("OrderListNode", "orders", {"sort": "total"})

    for tenant, first in (("acme", 1), ("globex", 1000)):
        results, _ = runtime.execute(workflow, tenant=tenant)
        assert results["orders"]["records"][0]["total"] == first

    with pytest.raises(WorkflowFailedError) as caught:
        runtime.execute(workflow)
    assert isinstance(caught.value.failures["orders"], TenantRequiredError)


def test_a_run_in_a_transaction_has_a_tenant(shop: DataFlow, runtime: LocalRuntime):
    workflow = WorkflowBuilder(db=shop)
    workflow.add_node("ProductCreateNode", "one", {"sku": "t"})
    workflow.add_node("ProductCreateNode", "two", {"sku": "a"})

    with pytest.raises(WorkflowFailedError):
        runtime.execute(workflow, tenant="acme", transaction=True)

    with shop.tenant("acme"):
        assert shop.count("Product") == 2


def test_a_function_of_the_users_own_sees_the_runs_tenant(shop: DataFlow, runtime: LocalRuntime):
    @shop.node
    async def in_loop() -> int:
        return await shop.aio.count("Order", {"total": {"$lt": 1000}})

    @shop.node
    def in_thread() -> int:
        return shop.count("Order", {"total": {"$lt": 1000}})

    workflow = WorkflowBuilder(db=shop)
    workflow.add_node("in_loop", "loop", {})
    workflow.add_node("in_thread", "thread", {})

    found = [runtime.execute(workflow, tenant=name)[0] for name in ("acme", "globex")]

    assert [result["loop"]["result"] for result in found] == [3, 0]
    assert [result["thread"]["result"] for result in found] == [3, 0]


# ------------------------------------------------------------------- tasks and threads


def test_tasks_and_threads_each_keep_their_tenant(shop: DataFlow):
    expected = {"acme": 1, "globex": 1000}

    async def task(tenant: str) -> bool:
        async with shop.tenant(tenant):
            first = await shop.aio.list("Order", sort="total")
            async with shop.transaction(read_only=True):
                second = await shop.aio.read("Order", filter={"total": expected[tenant]})
        return first["records"][0]["total"] == expected[tenant] and second is not None

    async def main() -> list[bool]:
        return await asyncio.gather(*(task(name) for name in [*expected] * 25))

    def thread(tenant: str) -> bool:
        with shop.tenant(tenant):
            return shop.list("Order", sort="total")["records"][0]["total"] == expected[tenant]

    with ThreadPoolExecutor(8) as pool:
        threads = pool.map(thread, [*expected] * 25)
        tasks = asyncio.run(main())
        assert all(threads)
    assert all(tasks)


def test_a_bare_thread_has_no_tenant(shop: DataFlow):
    found: list[Any] = []

    with shop.tenant("acme"):
        thread = threading.Thread(target=lambda: found.append(told(lambda: shop.count("Order"))))
        thread.start()
        thread.join()

    assert found[0][0] is TenantRequiredError


def test_a_task_keeps_the_tenant_of_the_block_in_which_it_began(shop: DataFlow):
    async def main() -> int:
        gate = asyncio.Event()

        async def later() -> int:
            await gate.wait()
            return (await shop.aio.list("Order", sort="total"))["records"][0]["total"]

        async with shop.tenant("acme"):
            task = asyncio.create_task(later())
        async with shop.tenant("globex"):
            gate.set()
            return await task

    assert asyncio.run(main()) == 1


def test_blocks_nest_and_end_with_errors(shop: DataFlow):
    with shop.tenant("acme"):
        with pytest.raises(ZeroDivisionError), shop.tenant("globex"):
            assert shop.read("Product", "a")["price"] == 1000
            raise ZeroDivisionError
        with shop.all_tenants():
            assert shop.count("Product") == 4
        assert shop.read("Product", "a")["price"] == 1
    with pytest.raises(TenantRequiredError):
        shop.count("Product")


def test_an_async_runtime_keeps_concurrent_runs_apart(shop: DataFlow):
    workflow = WorkflowBuilder(db=shop)
    workflow.add_node("OrderListNode", "orders", {"sort": "total"})
    built = workflow.build()

    async def one(tenant: str) -> int:
        async with AsyncLocalRuntime() as runtime:
            results, _ = await runtime.execute_async(built, tenant=tenant)
        return results["orders"]["records"][0]["total"]

    async def main() -> list[int]:
        return await asyncio.gather(*(one(name) for name in ("acme", "globex") * 10))

    assert asyncio.run(main()) == [1, 1000] * 10
