"""What users write, as type checkers see it; checked by mypy and pyright, never run."""

from typing import Any, assert_type

from dataflow import DataFlow, Field, LocalRuntime, Model, Results, Workflow, WorkflowBuilder, node

db = DataFlow("sqlite:///:memory:", pool_size=5)


@db.model
class User:
    id: int
    name: str
    email: str = Field(unique=True, max_length=254)
    active: bool = True


@db.model(timestamps=False)
class Tag(Model):
    id: int = Field(primary_key=True, default=0)
    label: str
    weight: float = 1.0


tag = Tag(label="new")
assert_type(tag.label, str)
assert_type(tag.weight, float)


@node
def discount(total: float, percent: float = 10) -> float:
    return total * (1 - percent / 100)


assert_type(discount(100), float)


@db.node(pure=True)
async def shout(text: str) -> dict[str, str]:
    return {"text": text.upper()}


builder = WorkflowBuilder("onboarding", db=db)
user = builder.add_node("UserCreateNode", "create_user", {"name": "Ada"}, retry=3, timeout_s=5)
builder.add_node(discount, "cheaper", {"total": user["id"]}, on_error="continue")
assert_type(builder.build(), Workflow)

results, run_id = LocalRuntime().execute(builder, inputs={"percent": 20}, transaction=True)
assert_type(results, Results)
assert_type(run_id, str)
assert_type(db.read("User", 7), dict[str, Any] | None)

query = db.query(User).where({"active": True}).sort("-id").fields("name").limit(10)
page = query.page(limit=5, count="estimate")
assert_type(page, dict[str, Any])
assert_type(query.count(), int)
assert_type(query.exists(), bool)
assert_type(query.where({"name": "Ada"}).update({"active": False}), int)
assert_type(query.explain(analyze=True), list[str])
text, args = query.distinct().sql([{"$count": "users"}])
assert_type(text, str)
total: float = db.query("users").aggregate([{"$sum": "$id"}])
names = [record.name for record in query.iterate(batch=100)]
found = query.first()
assert found is not None
found_name: str = found.name or found["name"]
builder.add_node("TagListNode", "tags", Tag.query_builder().filter({"weight": 1}).to_params())


async def use_the_async_face() -> None:
    names.extend([record.name async for record in db.aio.query(User).iterate()])
    async with db.transaction():
        locked = await db.aio.query(User).where({"id": 7}).for_update(nowait=True).one()
        assert_type(locked["name"], Any)
    assert_type(await db.aio.create(User, name="Ada", email="a@example.com"), dict[str, Any])
    assert_type(await db.aio.count(User, {"active": True}), int)
    async with db.transaction(isolation="serializable"):
        await db.aio.delete(User, 7)
