"""What the tests of applications need: databases and repositories in memory."""

from dataflow.testing.memory import InMemoryDatabase
from dataflow.testing.mocks import AsyncMockRepository, MockRepository

__all__ = ["AsyncMockRepository", "InMemoryDatabase", "MockRepository"]
