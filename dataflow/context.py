"""What a call carries beside its arguments: the tenant, the actor, the correlation id.

Each is a context variable, so that it follows a call through coroutines, tasks and the
portal's thread, and never leaks into a call of someone else.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

__all__ = [
    "ALL_TENANTS",
    "CLOSED",
    "NOBODY",
    "Acting",
    "AllTenants",
    "Caller",
    "Deadline",
    "Setting",
    "Wall",
    "actor",
    "correlation_id",
    "current_caller",
    "deadline",
    "session_tenant",
    "tenant",
    "wall_of",
]

T = TypeVar("T")


class AllTenants:
    """The type of `ALL_TENANTS`."""

    def __repr__(self) -> str:
        """Return the name that users import."""
        return "ALL_TENANTS"


ALL_TENANTS: Final = AllTenants()
"""Instead of a tenant: the records of all tenants, for administrative work."""

tenant: ContextVar[Any] = ContextVar("dataflow_tenant", default=None)
"""The tenant whose records a call may see; None: none was set."""

session_tenant: ContextVar[Any] = ContextVar("dataflow_session_tenant", default=None)
"""The tenant of the session whose statement is being executed.

Each statement of a session sets it, for the parameters of that very statement, which
know of no connection. Nothing resets it, so that nobody else may read it.
"""

actor: ContextVar[str | None] = ContextVar("dataflow_actor", default=None)
"""Who makes changes, for the audit trail."""

correlation_id: ContextVar[str | None] = ContextVar("dataflow_correlation_id", default=None)
"""What ties the changes of one request together, for the audit trail."""


Caller = tuple[str, str]
NOBODY: Final[Caller] = ("", "")
"""The caller where no actor and no correlation id are set."""


def current_caller() -> Caller:
    """Return actor and correlation id as the database gets them: texts, empty for none."""
    return (actor.get() or "", correlation_id.get() or "")


Wall = tuple[str, str]
CLOSED: Final[Wall] = ("", "")
"""Where the server's policies let no tenant's record through."""


def wall_of(current: Any) -> Wall:
    """Return a tenant as the server's policies get it: its text, and `on` for all of them."""
    if current is None:
        return CLOSED
    return ("", "on") if current is ALL_TENANTS else (str(current), "")


class Deadline(NamedTuple):
    """When calls must have ended, as `time.monotonic()` counts, and how long that was."""

    at: float
    seconds: float

    @property
    def left_s(self) -> float:
        """Seconds from now; negative when it has passed."""
        return self.at - time.monotonic()


deadline: ContextVar[Deadline | None] = ContextVar("dataflow_deadline", default=None)
"""The time limit of all calls together; None: there is none."""


class Setting(Generic[T]):
    """A block, `with` or `async with`, inside which a context variable has a value."""

    __slots__ = ("_tokens", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        """Keep both; nothing is set before the block begins."""
        self._variable = variable
        self._value = value
        self._tokens: list[Token[T]] = []

    def __enter__(self) -> Self:
        """Set the value."""
        self._tokens.append(self._variable.set(self._value))
        return self

    def __exit__(self, *error: object) -> None:
        """Bring back the value before."""
        self._variable.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        """Set the value."""
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Bring back the value before."""
        self.__exit__()


class Acting:
    """A block in which changes are made in someone's name; see `DataFlow.acting`."""

    def __init__(self, name: Any, correlation: Any = None) -> None:
        """Keep both as texts; without a correlation id the one around stays."""
        self._settings = [Setting(actor, None if name is None else str(name))]
        if correlation is not None:
            self._settings.append(Setting(correlation_id, str(correlation)))

    def __enter__(self) -> Self:
        """Set actor and correlation id."""
        for setting in self._settings:
            setting.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Bring back those before."""
        for setting in reversed(self._settings):
            setting.__exit__()

    async def __aenter__(self) -> Self:
        """Set actor and correlation id."""
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Bring back those before."""
        self.__exit__()
