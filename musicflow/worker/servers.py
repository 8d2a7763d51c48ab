"""The processes that workers are forked from, for as long as `forking` lasts."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from musicflow.worker.forks import CAN_FORK, ForkServer


@dataclass
class Servers:
    """The processes that this one has its workers forked from; None where they are started."""

    base: ForkServer | None = None
    heavy: ForkServer | None = None
    aside: ForkServer | None = None
    later: "deque[Callable[[], object]]" = field(default_factory=deque)
    """What this process does while it waits for a worker."""


_none = Servers()
_servers = _none


def servers() -> Servers:
    """Return the processes that this one has its workers forked from now."""
    return _servers


@contextlib.contextmanager
def forking(
    modules: Sequence[str],
    heavy: Sequence[str] = (),
    later: Sequence[Callable[[], object]] = (),
    aside: Sequence[str] = (),
) -> Iterator[None]:
    """Fork workers from a process that has imported modules, where that is safe.

    Those that have rations are started as before.

    Parameters
    ----------
    modules
        The modules of all workers, see `ForkServer`; with none, nothing is done.
    heavy
        More modules, for the workers that ask for them.
    later
        Small steps that this process takes in any case, in their order, such as imports. It takes
        them ahead while it waits for the first answer of a worker.
    aside
        Modules of what runs `beside`. They are imported after those steps.
    """
    global _servers
    if not CAN_FORK or not modules or _servers is not _none:
        yield
        return
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(ForkServer(modules))
        heavier = stack.enter_context(ForkServer(heavy, base)) if heavy else base
        made = Servers(base, heavier, later=deque(later))

        def step_aside() -> None:
            made.aside = stack.enter_context(ForkServer(aside, base))

        if aside:
            made.later.append(step_aside)
        _servers = made
        try:
            yield
        finally:
            _servers = _none
