"""Partitions of a library, which are read and embedded independently.

A partition is a topmost folder (``<genre>``, or ``mp3/<genre>`` in Ludwig's layout), named by its
slug. A folder of very many files is split further, by a hash of the file's path. So is a library
of very many folders. Folders with the same slug share a partition. Only work is split this way:
no answer depends on it.

A key alone says which files belong to it: ``jazz``, or ``jazz.2of4``, or ``all.2of4``.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from musicflow.settings import PARTITION_SIZE

MANY_FOLDERS = 100
"""A library of more folders than this (one per artist, say) is split by hash alone."""

WHOLE = "all"
ROOT = "root"


def folder_of(path: str) -> str:
    """Return the topmost folder of a path below the library's root; empty if there is none."""
    first, *rest = path.split("/")
    if first == "mp3" and len(rest) > 1:
        return rest[0]
    return first if rest else ""


def top_folder(path: str) -> str:
    """Return the path of the topmost folder that a folder is or lies in."""
    first, *rest = path.split("/")
    return f"{first}/{rest[0]}" if first == "mp3" and rest else first


def slug(folder: str) -> str:
    """Return a folder's name in lower case, with letters, digits and single hyphens alone."""
    text = unicodedata.normalize("NFKC", folder).casefold()
    text = re.sub(r"\W+", "-", text).strip("-")[:60] or ROOT
    return f"{text}-" if text == WHOLE else text


def partition_keys(paths: Iterable[str], size: int = PARTITION_SIZE) -> dict[str, str]:
    """Split a library.

    Parameters
    ----------
    paths
        Paths of all its files, below its root.
    size
        Approximate files per partition. A folder is split into two, four, eight…, so that its
        partitions stay the same while it grows a little.

    Returns
    -------
    dict
        The key of each path's partition.
    """
    names = {path: slug(folder_of(path)) for path in paths}
    counts = Counter(names.values())
    if len(counts) > MANY_FOLDERS:
        names = dict.fromkeys(names, WHOLE)
        counts = Counter(names.values())
    shards = {name: 1 << (max(count - 1, 0) // size).bit_length() for name, count in counts.items()}
    return {path: _key(name, path, shards[name]) for path, name in names.items()}


def chooser(keys: Iterable[str]) -> Callable[[str], str | None]:
    """Return a function from a path to its partition among `keys`, None where it is in none."""
    keys = set(keys)
    splits: dict[str, set[int]] = defaultdict(set)
    for key in keys:
        name, _, shard = key.partition(".")
        splits[name].add(int(shard.partition("of")[2] or 1))

    def choose(path: str) -> str | None:
        for name in (slug(folder_of(path)), WHOLE):
            for shards in splits.get(name, ()):
                if (key := _key(name, path, shards)) in keys:
                    return key
        return None

    return choose


def may_hold(keys: Iterable[str], folder: str) -> bool:
    """Return whether files of any of these partitions can lie in or below a folder."""
    names = {key.partition(".")[0] for key in keys}
    return folder == "mp3" or bool(names & {WHOLE, slug(folder_of(f"{folder}/"))})


def _key(name: str, path: str, shards: int) -> str:
    if shards == 1:
        return name
    digest = hashlib.sha256(path.encode("utf-8", "replace")).digest()
    return f"{name}.{int.from_bytes(digest[:8], 'big') % shards}of{shards}"
