"""One function in a worker: as a generator, or beside other work."""

import contextlib
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from musicflow.worker import child
from musicflow.worker.child import Rations
from musicflow.worker.process import Worker
from musicflow.worker.servers import servers

_T = TypeVar("_T")
_Result = TypeVar("_Result")


def iterate(
    name: str,
    function: Callable[..., Generator[_T, None, None]],
    *arguments: Any,
    names: Sequence[str] = (),
    timeout_s: float | None = None,
    log: Path | None = None,
    rations: Rations | None = None,
    heavy: bool = False,
) -> Generator[_T, None, None]:
    """Iterate over a generator that runs in a worker.

    When the iteration ends early, so does the generator: its ``finally`` is run, unless it takes
    longer than ten seconds.

    Parameters
    ----------
    name
        What runs there, for people: "the worker of musicnn", "the decoder".
    function
        A generator function that can be imported; it, its arguments, and what it yields or raises
        must be picklable. It says by `begin` which item it works on.
    *arguments
        The arguments of the function.
    names
        The names of its items.
    timeout_s
        Seconds that it may work on one item; None for any time.
    log
        The file for what native libraries write to standard error; None to drop it.
    rations
        What it may use; None for no bounds.
    heavy
        Whether it needs heavy modules, if it is forked; see `forking`.

    Raises
    ------
    WorkerError
        If the worker crashes, is killed, ends by itself, or works too long on an item.
    Exception
        The error that the generator raises.
    """
    ours = servers()
    server = ours.heavy if heavy else ours.base
    with Worker(names, timeout_s, log, rations, server) as worker:
        worker.send(pickle.dumps((function, arguments)))
        while ours.later and not worker.has_answered():
            # What fails ahead of its time says so when it is due.
            with contextlib.suppress(Exception):
                ours.later.popleft()()
        while (message := worker.receive()) is not None:
            more, item = message
            if not more:
                worker.see_off()
                if item is not None:
                    raise item
                return
            yield item
        raise worker.error(name)


@contextlib.contextmanager
def beside(
    name: str, function: Callable[..., _Result], *arguments: Any
) -> Iterator[Callable[[], _Result]]:
    """Let a function run beside the context, where a worker for it can be forked.

    Elsewhere it runs when its result is asked for: to start an interpreter would take longer than
    is gained.

    Parameters
    ----------
    name
        What runs there, for people.
    function
        A function that can be imported; it, its arguments and its result must be picklable.
    *arguments
        Its arguments.

    Yields
    ------
    callable
        A function that waits for the result and returns it. It raises what the function raises,
        or a `WorkerError`; see `iterate`. Each call of it comes to the same.
    """
    if (server := servers().aside) is None:
        yield _kept(partial(function, *arguments))
        return
    with Worker((), None, None, None, server) as worker:
        worker.send(pickle.dumps((child.once, (function, arguments))))
        yield _kept(partial(_result, worker, name))


def _kept(function: Callable[[], _Result]) -> Callable[[], _Result]:
    """Return a function that calls another once, and keeps what it returns or raises."""
    kept: Future[_Result] = Future()

    def result() -> _Result:
        if not kept.done():
            try:
                kept.set_result(function())
            except Exception as error:
                kept.set_exception(error)
        return kept.result()

    return result


def _result(worker: Worker, name: str) -> Any:
    message = worker.receive()
    if message is None:
        raise worker.error(name)
    succeeded, result = message
    if not succeeded:
        raise result
    return result
