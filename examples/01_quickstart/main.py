"""A decorated class, two of its nine nodes, one workflow."""

import sys

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

# Connect to database: the first argument, else DATABASE_URL, else in-memory SQLite
db = DataFlow(*sys.argv[1:2])


# Define your model
@db.model
class User:
    id: int  # Primary key (auto-generated)
    name: str  # Required field
    email: str  # Required field
    active: bool = True  # Optional with default


# DataFlow automatically generates 9 workflow nodes:
# UserCreateNode, UserReadNode, UserUpdateNode, UserDeleteNode,
# UserListNode, UserBulkCreateNode, UserBulkUpdateNode,
# UserBulkDeleteNode, UserBulkUpsertNode

# Create workflow using generated nodes
workflow = WorkflowBuilder()

# Create a user
workflow.add_node("UserCreateNode", "create_user", {
    "name": "John Doe",
    "email": "john@example.com"
})  # fmt: skip

# Read the user
workflow.add_node("UserReadNode", "read_user", {
    "conditions": {"name": "John Doe"}
})  # fmt: skip

# Execute the workflow
runtime = LocalRuntime()
results, run_id = runtime.execute(workflow.build())

print(f"Created user: {results['create_user']}")
print(f"Found user: {results['read_user']}")
