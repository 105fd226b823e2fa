"""Texts that every database can hold."""

from __future__ import annotations

import re
from typing import Any

from dataflow.errors import ParameterError, shown

__all__ = ["checked_name", "checked_text", "is_storable"]

_LONGEST = 255
"""Characters of a name in the audit log."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a text has neither U+0000 nor lone surrogates."""
    return "\0" not in text and not _SURROGATE.search(text)


def checked_text(argument: str, value: Any) -> str:
    """Return a value's text.

    Args:
        argument: Its name, for the error.
        value: Anything.

    Raises:
        ParameterError: If the text has characters that not every database can hold.
    """
    text = str.__str__(value) if isinstance(value, str) else str(value)
    if not is_storable(text):
        raise ParameterError(
            problem=f"{argument} holds U+0000 or a lone surrogate: {shown(text)}.",
            advise="leave that character out, or write it in another way, such as base64",
        )
    return text


def checked_name(argument: str, value: Any) -> str:
    """Return the text of what names a caller, or a call.

    Args:
        argument: Its name, for the error.
        value: Anything.

    Raises:
        ParameterError: If the text is longer than 255 characters, or has characters that
            not every database can hold.
    """
    text = checked_text(argument, value)
    if len(text) > _LONGEST:
        raise ParameterError(problem=f"{argument} has more than {_LONGEST} characters.")
    return text
