"""Models and workflows that the cases share."""

from __future__ import annotations

from typing import Any

from dataflow import DataFlow, Field, Workflow, WorkflowBuilder
from dataflow.errors import DataFlowError


def open_shop(url: str, **settings: Any) -> DataFlow:
    """Return a DataFlow with the models `User`, `Post` and `Audit`."""
    db = DataFlow(url, pool_timeout_s=120.0, **settings)

    @db.model
    class User:
        id: int
        name: str
        score: int = 0

    @db.model
    class Post:
        id: int
        title: str
        author_id: int = Field(foreign_key="users.id", index=True)

    @db.model
    class Audit:
        id: int
        text: str

    return db


def three_steps(db: DataFlow) -> Workflow:
    """Create a user, read it, and change it."""
    builder = WorkflowBuilder("three", db=db)
    user = builder.add_node("UserCreateNode", "create", {"name": "somebody"})
    read = builder.add_node("UserReadNode", "read", {"id": user["id"]})
    builder.add_node("UserUpdateNode", "update", {"id": read["id"], "score": 1})
    return builder.build()


def foreign(errors: list[BaseException]) -> list[str]:
    """Describe the errors that are not ours, or do not say what a caller must know."""
    found = []
    for error in errors:
        if not isinstance(error, DataFlowError):
            found.append(repr(error)[:200])
        elif error.code == "DF000" or error.outcome not in (None, "not_applied", "unknown"):
            found.append(f"{type(error).__name__} without code or outcome")
    return found


def shown(errors: list[BaseException]) -> str:
    kinds = sorted({type(error).__name__ for error in errors})
    return f"{', '.join(kinds)}; first: {errors[0]}" if errors else ""
