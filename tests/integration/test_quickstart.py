"""The first thing that a user does."""

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder


def test_an_unconnected_read_finds_what_the_create_before_it_wrote(
    db: DataFlow, runtime: LocalRuntime
):
    @db.model
    class User:
        id: int
        name: str
        email: str
        active: bool = True

    workflow = WorkflowBuilder(db=db)
    workflow.add_node("UserCreateNode", "create_user", {"name": "Ada", "email": "ada@example.com"})
    workflow.add_node("UserReadNode", "read_user", {"conditions": {"name": "Ada"}})

    results, run_id = runtime.execute(workflow.build())

    assert results["read_user"] == {**results["create_user"], "found": True}
    assert results["create_user"]["id"] == 1
    assert len(run_id) == 36
