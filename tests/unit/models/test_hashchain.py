"""Hash chains: whatever is done to the entries, a check tells."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataflow.models.hashchain import ChainCheck, Finding, Link, genesis, link_hash

START = genesis("", 0)
TEXTS = st.lists(st.none() | st.text(max_size=5), min_size=2, max_size=3).map(tuple)


def chain_of(entries: list[tuple[str | None, ...]]) -> list[Link]:
    previous, links = START, []
    for number, texts in enumerate(entries, 1):
        digest = link_hash(previous, texts)
        links.append(Link(number, previous, digest, texts))
        previous = digest
    return links


def check(links: list[Link], head: tuple[int, bytes] | None) -> list[Finding]:
    checked = ChainCheck(START)
    for link in sorted(links, key=lambda link: link.sequence):
        checked.add(link)
    return checked.end(head)


def head_of(links: list[Link]) -> tuple[int, bytes]:
    return (links[-1].sequence, links[-1].hash)


def test_the_hash_covers_lengths_and_what_is_missing():
    assert link_hash(b"p", ("ab", None, "ü")) == hashlib.sha256("p2:ab-2:ü".encode()).digest()


@given(TEXTS, TEXTS)
def test_different_texts_have_different_hashes(one: tuple[str | None], other: tuple[str | None]):
    assume(one != other)

    assert link_hash(START, one) != link_hash(START, other)


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_a_whole_chain_is_sound(entries: list[tuple[str | None, ...]]):
    links = chain_of(entries)

    assert check(links, head_of(links)) == []


@given(st.lists(TEXTS, min_size=3, max_size=8, unique=True), st.data())
def test_exchanged_entries_are_named(entries: list[tuple[str | None, ...]], data: st.DataObject):
    links = chain_of(entries)
    places = st.integers(0, len(links) - 1)
    one, other = sorted((data.draw(places), data.draw(places)))
    assume(one < other)
    swapped = list(links)
    swapped[one] = links[other]._replace(sequence=one + 1)
    swapped[other] = links[one]._replace(sequence=other + 1)

    found = check(swapped, head_of(links))

    assert found[:2] == [Finding(one + 1, "swapped"), Finding(other + 1, "swapped")]


@pytest.mark.parametrize(
    ("removed", "found"),
    [
        ({1}, [Finding(1, "missing")]),
        ({2, 3}, [Finding(2, "missing")]),
        ({4, 5}, [Finding(4, "truncated")]),
        ({1, 2, 3, 4, 5}, [Finding(1, "truncated")]),
    ],
)
def test_removed_entries_are_named(removed: set[int], found: list[Finding]):
    links = chain_of([(str(number),) for number in range(5)])

    assert check([link for link in links if link.sequence not in removed], head_of(links)) == found


def test_an_entry_replaced_by_a_sound_one_is_named():
    links = chain_of([(str(number),) for number in range(4)])
    forged = link_hash(links[1].previous, ("forged",))
    replaced = [*links[:1], Link(2, links[1].previous, forged, ("forged",)), *links[2:]]

    assert check(replaced, head_of(links)) == [Finding(2, "altered")]


def test_an_anchor_names_the_entry_that_was_rewritten():
    links, rewritten = chain_of([("a",), ("b",)]), chain_of([("a",), ("x",)])
    checked = ChainCheck(START, anchor=head_of(links))
    for link in rewritten:
        checked.add(link)

    assert checked.end(head_of(rewritten)) == [Finding(2, "altered")]
