"""Named things of one kind: those that ship, and those that other packages bring.

A thing is found by its name, which ships or is that of an entry point in the kind's group, or by
its address, ``package.module:NAME``. Each name stands for an address, which is imported when the
thing is wanted: to list names imports nothing. What ships is found like everything else.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from typing import Generic, TypeVar

from musicflow.errors import MusicflowError, described, words_of
from musicflow.text import folded, nearest

T = TypeVar("T")

UNKNOWN = "unknown-name"
NOT_IMPORTABLE = "not-importable"
WRONG_KIND = "wrong-kind"

_ADDRESS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class RegistryError(MusicflowError):
    """A name that leads to no usable thing.

    Its code is ``unknown-name``, ``not-importable`` or ``wrong-kind``.
    """


def is_address(text: str) -> bool:
    """Return whether a text has the form ``package.module:NAME``."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The named things of one kind.

    Parameters
    ----------
    word : str
        The kind, for people: ``embedder``.
    group : str
        The group of entry points: ``musicflow.embedders``.
    kind : type
        The class of the things.
    shipped : mapping of str to str
        The address of each thing that ships, by name.
    error : type of MusicflowError
        The error to raise.
    """

    word: str
    group: str
    kind: type[T]
    shipped: Mapping[str, str] = field(default_factory=dict)
    error: type[MusicflowError] = RegistryError

    def __contains__(self, name: str) -> bool:
        """Return whether a name is known. Nothing is imported."""
        return name in self.shipped or name in self._addresses()

    def names(self) -> tuple[str, ...]:
        """Return all names, those that ship first. Nothing is imported."""
        return tuple(self._addresses())

    def address_of(self, name: str) -> str:
        """Return the address that a name stands for; an address stands for itself.

        Raises
        ------
        MusicflowError
            If there is no such name; the message lists all names.
        """
        if is_address(name):
            return name
        if name in self.shipped:
            return self.shipped[name]
        addresses = self._addresses()
        if name not in addresses:
            message = f"no {self.word} is called {name!r}"
            hint = nearest(folded(name), {folded(known): known for known in addresses})
            known = hint or (f"there are {', '.join(addresses)}" if addresses else "")
            own = "name one of your own as package.module:NAME"
            raise self.error(message, "; ".join(filter(None, [known, own])), UNKNOWN)
        return addresses[name]

    def get(self, name: str) -> T:
        """Return the thing that a name or an address leads to.

        Raises
        ------
        MusicflowError
            If there is no such name, or it cannot be imported or is of another kind.
        """
        address = self.address_of(name)
        shown = f"the {self.word} {name}" + (f" ({address})" if name != address else "")
        try:
            thing = _imported(address)
        except (Exception, SystemExit) as error:
            raise self.error(
                f"{shown} cannot be imported: {_reason(error)}",
                _advice(error, address),
                NOT_IMPORTABLE,
            ) from error
        if not isinstance(thing, self.kind):
            what = "a class" if isinstance(thing, type) else f"of type {type(thing).__name__}"
            message = f"{shown} is {what}, not of type {self.kind.__name__}"
            raise self.error(message, "", WRONG_KIND)
        return thing

    def _addresses(self) -> dict[str, str]:
        # Nothing that is brought takes the place of what ships.
        return {**self.shipped, **_brought(self.group, tuple(sys.path)), **self.shipped}


@cache
def _brought(group: str, _path: tuple[str, ...]) -> dict[str, str]:
    """Return what packages bring. To look through all of them takes ten milliseconds."""
    return {point.name: f"{point.module}:{point.attr}" for point in entry_points(group=group)}


def _imported(address: str) -> object:
    module, _, attribute = address.partition(":")
    look_here(module.partition(".")[0])
    return attrgetter(attribute)(importlib.import_module(module))


def look_here(module: str) -> None:
    """Import from the current folder what is nowhere else.

    Workers are given the path of their parent, and so find it too.
    """
    here = Path.cwd()
    is_here = (here / f"{module}.py").is_file() or (here / module).is_dir()
    if is_here and module not in sys.modules and importlib.util.find_spec(module) is None:
        sys.path.append(str(here))


def _reason(error: BaseException) -> str:
    if isinstance(error, ImportError | AttributeError):
        return words_of(error)
    return described(error)


def _advice(error: BaseException, address: str) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if f"{address.partition(':')[0]}.".startswith(f"{error.name}."):
        return "run it in the folder that holds it, name that folder in PYTHONPATH, or install it"
    return f"install {error.name.partition('.')[0]}"
