"""Counters of a fixed size that threads and forked processes share."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest

from promptcrafter.auth.counters import Counters

TOO_LITTLE = 1  # set of entries, which all keys share


def test_a_counter_begins_at_0_and_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    counters, now = Counters(), time.time()
    monkeypatch.setattr("time.time", lambda: now)
    assert counters.get("a") == (0, now)
    assert [counters.add("a", 1, 60), counters.add("a", 2, 60), counters.add("b", 1, 60)] == [1, 3, 1]
    assert counters.get("a") == (3, now + 60), "what is added later does not move its end"
    monkeypatch.setattr("time.time", lambda: now + 60)
    assert counters.get("a") == (0, now + 60)
    assert counters.add("a", 1, 60) == 1


def test_all_counters_can_be_cleared() -> None:
    counters = Counters()
    counters.add("a", 1, 60)
    counters.clear()
    assert counters.get("a")[0] == 0


def test_any_text_is_a_key_and_none_is_another_ones() -> None:
    counters = Counters()
    keys = ["", "a", "A", "é", "e\u0301", "\ud800", "x" * 100_000, "a\0", "a\0b"]
    for number, key in enumerate(keys, 1):
        counters.add(key, number, 60)
    assert [counters.get(key)[0] for key in keys] == list(range(1, len(keys) + 1))


def test_many_new_keys_displace_each_other_and_not_a_high_count() -> None:
    counters = Counters(sets=TOO_LITTLE)
    for _ in range(5):
        counters.add("the account that is attacked", 1, 3600)
    for number in range(1000):
        counters.add(f"address {number}", 1, 3600)
    assert counters.get("the account that is attacked")[0] == 5
    assert counters.get("address 999")[0] == 1, "the newest has a place, too"


def test_an_entry_that_has_ended_is_used_again_before_one_is_displaced() -> None:
    counters = Counters(sets=TOO_LITTLE)
    for number in range(7):
        counters.add(f"address {number}", 1, 3600)
    counters.add("ended", 9, 0)
    counters.add("new", 1, 3600)
    assert [counters.get(f"address {number}")[0] for number in range(7)] == [1] * 7


def test_no_count_of_threads_and_forked_processes_is_lost() -> None:
    counters, each = Counters(), 300

    def count(_: int) -> None:
        for _ in range(each):
            counters.add("a", 1, 600)

    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(count, range(2)))
            os._exit(0)  # without what pytest does at its exit
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert counters.get("a")[0] == 3 * 2 * each


def test_a_process_that_dies_with_the_lock_blocks_no_other() -> None:
    counters = Counters()
    child = os.fork()
    if not child:
        with patch.object(counters, "_read", side_effect=lambda start: os._exit(0)):
            counters.add("a", 1, 60)
    os.waitpid(child, 0)
    assert counters.add("a", 1, 60) == 1
