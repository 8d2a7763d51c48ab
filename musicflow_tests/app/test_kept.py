import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from musicflow.app.kept import Kept, Together


def test_an_answer_follows_a_new_state() -> None:
    """A collection is opened once per state, not once for all."""
    kept = Kept(2)
    assert [kept.once("a", state, lambda s=state: [s]) for state in (1, 1, 2)] == [[1], [1], [2]]
    made = kept.once("a", 2, list)
    kept.once("b", 1, list)
    assert kept.once("a", 2, list) is made
    kept.once("c", 1, list)
    assert kept.once("a", 2, list) is made, "the one asked for last stays"


def test_those_that_wait_share_a_turn() -> None:
    begun, go_on, turns = threading.Event(), threading.Event(), []

    def work(keys: list[int]) -> list[int]:
        turns.append(keys)
        begun.set()
        assert go_on.wait(10)
        if 9 in keys:
            raise ValueError("nine")
        return [10 * key for key in keys]

    together = Together(work)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(together, 0)
        assert begun.wait(10)
        rest = [pool.submit(together, key) for key in (1, 2, 1)]
        while len(together._waiting) < 2:
            time.sleep(0.01)
        go_on.set()
        assert [one.result(10) for one in (first, *rest)] == [0, 10, 20, 10]
    assert [sorted(keys) for keys in turns[:2]] == [[0], [1, 2]]
    with pytest.raises(ValueError, match="nine"):
        together(9)
