"""Many items in several workers."""

import contextlib
import os
import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from musicflow.worker import child
from musicflow.worker.process import Worker
from musicflow.worker.servers import servers

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PER_WORKER = 16
"""Items that are worth the start of one more worker, which takes about 0.3 s."""

_AHEAD = 16
"""Items that a worker is sent at once, at most."""


def each(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    names: Sequence[str],
    timeout_s: float | None = None,
    workers: int | None = None,
    log: Path | None = None,
) -> Generator[tuple[int, _Result | Exception], None, None]:
    """Apply a function to each item, in workers.

    Parameters
    ----------
    function
        A function that can be imported. Where its worker crashed, it is called again for items
        whose results were not yet sent.
    items
        Picklable items.
    names
        Their names, for people.
    timeout_s
        Seconds that the function may take for one item; None for any time.
    workers
        Their number; as many as cores if not given, but fewer for few items.
    log
        The file for what native libraries write to standard error; None to drop it.

    Yields
    ------
    tuple of int and object
        The number of an item and its result, in the order in which they come: what the function
        returned or raised, or a `WorkerError` where the item crashed its worker or took too long.

    Raises
    ------
    WorkerError
        If workers cannot be started.
    """
    if items:
        workers = workers or min(os.cpu_count() or 1, 1 + len(items) // _PER_WORKER)
        with contextlib.closing(_Crew(function, items, names, timeout_s, log, workers)) as crew:
            yield from crew.results()


class _Crew:
    """The workers of one call of `each`; a thread for each of them keeps it busy."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        names: Sequence[str],
        timeout_s: float | None,
        log: Path | None,
        workers: int,
    ) -> None:
        self._function = function
        self._items = items
        self._how = (names, timeout_s, log)
        self._size = min(_AHEAD, max(1, len(items) // (4 * workers)))
        self._left = iter(range(len(items)))
        self._lock = threading.Lock()
        self._stopped = False
        self._busy: set[Worker] = set()
        self._done: queue.Queue[tuple[int, Any] | BaseException | None] = queue.Queue(_AHEAD)
        self._threads = [
            threading.Thread(target=self._run, name="worker", daemon=True) for _ in range(workers)
        ]

    def results(self) -> Generator[tuple[int, Any], None, None]:
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            done = self._done.get()
            if done is None:
                running -= 1
            elif isinstance(done, BaseException):
                raise done
            else:
                number, result = done
                yield number, pickle.loads(result) if isinstance(result, bytes) else result

    def close(self) -> None:
        with self._lock:
            self._stopped = True
            for worker in self._busy:
                worker.kill()
        for thread in self._threads:
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    self._done.get(timeout=0.01)

    def _run(self) -> None:
        waiting: deque[int] = deque()
        try:
            while waiting or self._take(waiting):
                self._work(waiting)
        except BaseException as error:
            self._done.put(error)
        finally:
            self._done.put(None)

    def _take(self, waiting: "deque[int]") -> list[int]:
        """Take some more of the items that nobody has yet."""
        with self._lock:
            taken = [] if self._stopped else list(islice(self._left, self._size))
        waiting += taken
        return taken

    def _work(self, waiting: "deque[int]") -> None:
        """Let one worker answer the waiting items until it ends or dies."""
        with Worker(*self._how, None, servers().base) as worker, self._in_reach(worker):
            worker.send(pickle.dumps((child.apply, (self._function,))))
            self._send(worker, waiting)
            answered = 0
            while waiting:
                if len(waiting) <= self._size:
                    self._send(worker, self._take(waiting))
                message = worker.receive()
                if message is None:
                    break
                more, done = message
                if not more:
                    raise done
                waiting.remove(done[0])
                self._done.put(done)
                answered += 1
            else:
                worker.kill()
                return
            if self._stopped:
                waiting.clear()
                return
            error = worker.error("reading it")
            if error.number is not None and error.number in waiting:
                waiting.remove(error.number)
                self._done.put((error.number, error))
                answered += 1
            if not answered:
                raise error

    def _send(self, worker: Worker, numbers: "Sequence[int] | deque[int]") -> None:
        if numbers:
            worker.send(pickle.dumps([(number, self._items[number]) for number in numbers]))

    @contextlib.contextmanager
    def _in_reach(self, worker: Worker) -> Iterator[None]:
        """Have `close` end the worker as long as the context lasts."""
        with self._lock:
            self._busy.add(worker)
            if self._stopped:
                worker.kill()
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(worker)
