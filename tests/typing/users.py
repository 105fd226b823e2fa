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


async def use_the_async_face() -> None:
    assert_type(await db.aio.create(User, name="Ada", email="a@example.com"), dict[str, Any])
    assert_type(await db.aio.count(User, {"active": True}), int)
    async with db.transaction(isolation="serializable"):
        await db.aio.delete(User, 7)
