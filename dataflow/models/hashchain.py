"""Hash chains: each entry's hash covers its own texts and the hash of the entry before.

Whoever changes, removes, adds or exchanges entries breaks a link; whoever cuts off the
end leaves a head that knows better. The functions know no database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

__all__ = ["ChainCheck", "Finding", "Link", "genesis", "link_hash"]

Kind = Literal["altered", "missing", "swapped", "inserted", "truncated"]
_REMEMBERED = 1_000
"""Misplaced entries that are kept, to find out which of them changed places."""


def genesis(chain: str, partition: int) -> bytes:
    """Return what the first entry of a chain follows."""
    return hashlib.sha256(f"{chain}/{partition}".encode()).digest()


def link_hash(previous: bytes, texts: Iterable[Any]) -> bytes:
    """Return the hash of an entry: SHA-256 of the hash before and of its texts.

    Each text is preceded by its length in bytes, and None is a dash, so that no two
    different entries are the same bytes.
    """
    framed = "".join(map(_framed, texts))
    return hashlib.sha256(previous + framed.encode(errors="surrogatepass")).digest()


def _framed(text: Any) -> str:
    if text is None:
        return "-"
    plain = text if type(text) is str else str(text)
    size = len(plain) if plain.isascii() else len(plain.encode(errors="surrogatepass"))
    return f"{size}:{plain}"


class Link(NamedTuple):
    """One stored entry, as its chain sees it."""

    sequence: Any
    previous: Any
    hash: Any
    texts: tuple[Any, ...]

    @property
    def intact(self) -> bool:
        """Whether the entry is what its hash says."""
        if not isinstance(self.previous, bytes):
            return False
        return bool(link_hash(self.previous, self.texts) == self.hash)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong in a chain, and from which entry on."""

    sequence: int
    kind: Kind


class ChainCheck:
    """Looks at the entries of one chain in order, in flat memory.

    Args:
        start: What the first entry follows; see `genesis`.
        anchor: Sequence and hash of an entry that was noted elsewhere.
    """

    def __init__(self, start: bytes, anchor: tuple[int, bytes] | None = None) -> None:
        """Begin before the first entry."""
        self.last, self.hash = 0, start
        self._sound = True
        self._anchor = anchor
        self._findings: list[Finding] = []
        self._misplaced: dict[int, tuple[bytes, bytes]] = {}

    def add(self, link: Link) -> None:
        """Look at the next entry."""
        if not isinstance(link.sequence, int) or link.sequence <= self.last:
            self._find(link.sequence if isinstance(link.sequence, int) else self.last, "inserted")
            return
        gap = link.sequence > self.last + 1
        if gap:
            self._find(self.last + 1, "missing")
        sound = link.intact
        if not sound:
            self._find(link.sequence, "altered")
        elif link.previous != self.hash and not gap:
            sound = False
            self._misplace(link)
        if self._anchor is not None and self._anchor[0] == link.sequence:
            if self._anchor[1] != link.hash:
                self._find(link.sequence, "altered")
            self._anchor = None
        self._sound = sound
        self.last, self.hash = link.sequence, link.hash

    def _misplace(self, link: Link) -> None:
        """Note an intact entry that does not follow the one before it."""
        for other, (expected, previous) in list(self._misplaced.items()):
            if link.previous == expected or previous == self.hash:
                del self._misplaced[other]
                self._find(other, "swapped")
                self._find(link.sequence, "swapped")
                return
        if not self._sound:  # the one before is at fault, and reported
            return
        if len(self._misplaced) < _REMEMBERED:
            self._misplaced[link.sequence] = (self.hash, link.previous)
        else:
            self._find(link.sequence, "altered")

    def end(self, head: tuple[Any, Any] | None) -> list[Finding]:
        """Compare the end with the head, a sequence and a hash; return all findings."""
        for sequence in self._misplaced:  # the entry before was replaced by a sound one
            self._find(max(sequence - 1, 1), "altered")
        wanted = 0 if head is None else head[0]
        if self._anchor is not None and self._anchor[0] > self.last:
            self._find(self.last + 1, "truncated")
        elif not isinstance(wanted, int) or (head is None and self.last):
            self._find(self.last, "altered")
        elif wanted > self.last:
            self._find(self.last + 1, "truncated")
        elif wanted < self.last:
            self._find(wanted + 1, "inserted")
        elif head is not None and head[1] != self.hash:
            self._find(self.last, "altered")
        return sorted(self._findings, key=lambda found: found.sequence)

    def _find(self, sequence: int, kind: Kind) -> None:
        finding = Finding(sequence, kind)
        if finding not in self._findings[-4:] and len(self._findings) < _REMEMBERED:
            self._findings.append(finding)
