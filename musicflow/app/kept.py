"""Work that is done once for many: results that are kept, and callers that share a turn."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

_K = TypeVar("_K")
_T = TypeVar("_T")


class Kept:
    """Results that are kept while what they were made of stays as it is.

    Parameters
    ----------
    most
        The most results; the one that was not asked for the longest goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: dict[Hashable, tuple[Hashable, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return the result for a key; None if there is none."""
        return self._made.get(key, (None, None))[1]

    def once(self, key: Hashable, state: Hashable, make: Callable[[], _T]) -> _T:
        """Return the result for a key in a state; make it if that is not known."""
        with self._lock:
            known = self._made.pop(key, None)
            if known is not None and known[0] == state:
                self._made[key] = known
                found: _T = known[1]
                return found
        made = make()
        with self._lock:
            self._made[key] = state, made
            for oldest in list(self._made)[: -self._most]:
                del self._made[oldest]
        return made


class Together(Generic[_K, _T]):
    """Does for many callers at once what costs as much for one: those that wait share a turn.

    Parameters
    ----------
    work
        Given keys, returns a result for each.
    """

    def __init__(self, work: Callable[[list[_K]], list[_T]]) -> None:
        self._work = work
        self._waiting: dict[_K, Future[_T]] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, key: _K) -> _T:
        """Return the result for a key."""
        with self._lock:
            mine = self._waiting.setdefault(key, Future())
        with self._turn:
            if not mine.done():
                with self._lock:
                    taken, self._waiting = self._waiting, {}
                self._do(taken)
        return mine.result()

    def _do(self, taken: dict[_K, Future[_T]]) -> None:
        try:
            results = self._work(list(taken))
        except Exception as error:
            for future in taken.values():
                future.set_exception(error)
        else:
            for future, result in zip(taken.values(), results, strict=True):
                future.set_result(result)
