from __future__ import annotations

import threading
import time
import uuid

from dataflow.identifiers import uuid7


def test_identifiers_sort_in_the_order_in_which_they_were_made():
    made = [uuid7() for _ in range(20_000)]

    assert made == sorted(made)


def test_identifiers_of_many_threads_are_all_different():
    made: list[list[uuid.UUID]] = [[] for _ in range(8)]

    def make(mine: list[uuid.UUID]) -> None:
        mine += [uuid7() for _ in range(5_000)]

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({value for mine in made for value in mine}) == 40_000


def test_an_identifier_says_when_it_was_made():
    before = time.time_ns() // 1_000_000
    value = uuid7()
    after = time.time_ns() // 1_000_000

    assert before <= value.int >> 80 <= after + 1
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
