"""Partitions of a library, which are read and embedded independently.

A partition is a folder in the one that holds the music (``<genre>``, or ``mp3/<genre>`` in
Ludwig's layout), named by its slug. Files elsewhere are in the partition of their topmost folder.
A folder of very many files is split further, by a hash of the file's path. So is a library of
very many folders. Folders with the same slug share a partition. Only work is split this way: no
answer depends on it.

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


def folder_of(path: str, music: str = "") -> str:
    """Return the name of the folder that a file's partition is called after.

    Parameters
    ----------
    path
        The file's path below the library's root.
    music
        The folder below the root that holds the music; empty if it is the root.

    Returns
    -------
    str
        The folder in `music` that the file lies in. Otherwise the topmost folder of the path;
        empty if there is none.
    """
    return _partition_folder(path.rpartition("/")[0], music).rpartition("/")[2]


def top_folder(path: str, music: str = "") -> str:
    """Return the path of the partition's folder that a folder is or lies in."""
    return _partition_folder(path, music)


def _partition_folder(folder: str, music: str) -> str:
    above = f"{music}/" if music and folder.startswith(f"{music}/") else ""
    return above + folder[len(above) :].partition("/")[0]


def slug(folder: str) -> str:
    """Return a folder's name in lower case, with letters, digits and single hyphens alone."""
    text = unicodedata.normalize("NFKC", folder).casefold()
    text = re.sub(r"\W+", "-", text).strip("-")[:60] or ROOT
    return f"{text}-" if text == WHOLE else text


def partition_keys(
    paths: Iterable[str], size: int = PARTITION_SIZE, music: str = ""
) -> dict[str, str]:
    """Split a library.

    Parameters
    ----------
    paths
        Paths of all its files, below its root.
    size
        Approximate files per partition. A folder is split into two, four, eight…, so that its
        partitions stay the same while it grows a little.
    music
        The folder below the root that holds the music; empty if it is the root.

    Returns
    -------
    dict
        The key of each path's partition.
    """
    names = {path: slug(folder_of(path, music)) for path in paths}
    counts = Counter(names.values())
    if len(counts) > MANY_FOLDERS:
        names = dict.fromkeys(names, WHOLE)
        counts = Counter(names.values())
    shards = {name: 1 << (max(count - 1, 0) // size).bit_length() for name, count in counts.items()}
    return {path: _key(name, path, shards[name]) for path, name in names.items()}


def chooser(keys: Iterable[str], music: str = "") -> Callable[[str], str | None]:
    """Return a function from a path to its partition among `keys`, None where it is in none."""
    keys = set(keys)
    splits: dict[str, set[int]] = defaultdict(set)
    for key in keys:
        name, _, shard = key.partition(".")
        splits[name].add(int(shard.partition("of")[2] or 1))

    def choose(path: str) -> str | None:
        for name in (slug(folder_of(path, music)), WHOLE):
            for shards in splits.get(name, ()):
                if (key := _key(name, path, shards)) in keys:
                    return key
        return None

    return choose


def may_hold(keys: Iterable[str], folder: str, music: str = "") -> bool:
    """Return whether files of any of these partitions can lie in or below a folder."""
    names = {key.partition(".")[0] for key in keys}
    if f"{music}/".startswith(f"{folder}/"):
        return True
    return bool(names & {WHOLE, slug(folder_of(f"{folder}/", music))})


def _key(name: str, path: str, shards: int) -> str:
    if shards == 1:
        return name
    digest = hashlib.sha256(path.encode("utf-8", "replace")).digest()
    return f"{name}.{int.from_bytes(digest[:8], 'big') % shards}of{shards}"
