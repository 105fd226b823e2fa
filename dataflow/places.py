"""Where the caller stands: `file:line` of the nearest frame outside this package."""

from __future__ import annotations

import sys
from types import FrameType

__all__ = ["awaiting_place", "caller_place"]


def caller_place() -> str:
    """Return `file:line` of the nearest frame outside this package."""
    return _text_of(_outside(sys._getframe(1)))  # noqa: SLF001 - the documented way to a caller's frame


def awaiting_place() -> str | None:
    """Return `file:line` of the code that awaits, or None in a task of its own."""
    frame = _outside(sys._getframe(1))  # noqa: SLF001 - the documented way to a caller's frame
    return None if _module_of(frame).startswith(("asyncio.", "dataflow.")) else _text_of(frame)


def _outside(frame: FrameType) -> FrameType:
    while frame.f_back is not None and _module_of(frame).startswith("dataflow."):
        frame = frame.f_back
    return frame


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _text_of(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
