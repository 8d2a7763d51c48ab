"""The scan: audio files below a root, with their content hashes, headers and tags.

A second scan compares sizes and times: only new and changed files are opened. The results are
kept per partition, so that partitions can be scanned in parallel.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from musicflow import audio, worker
from musicflow.atomic import parquet_of, told_of, write_atomically
from musicflow.errors import words_of
from musicflow.library import layouts
from musicflow.library.audio_file import AudioFile, FileState, state_of_file
from musicflow.library.partitions import chooser, partition_keys
from musicflow.library.problems import PASSING, UNEXPECTED, fault_of_reading
from musicflow.library.rows import items_of, table_of
from musicflow.library.tags import read_tags
from musicflow.library.track import LibraryError
from musicflow.library.walk import find
from musicflow.places import Place, PlaceError, is_elsewhere, place
from musicflow.settings import PARTITION_SIZE, Settings

VERSION = 1
"""Raised when known files must be examined again. Version 0 hashed them with their tags."""

_log = logging.getLogger("musicflow")

T = TypeVar("T")

Progress = Callable[[Iterable, str, int], Iterator]
"""A function that iterates and shows progress: ``progress(items, title, total)``."""


def shown_as(title: str, work: Callable[[], T], progress: Progress) -> T:
    """Do one piece of work that has no parts, and show its title meanwhile."""
    [done] = [work() for _ in progress((None,), title, 1)]
    return done


@dataclass(frozen=True)
class Rules:
    """The settings of a scan.

    Parameters
    ----------
    part_size
        Approximate files per partition.
    ignore
        Patterns of files to leave out; see `find`.
    layout
        The layout, which says where the music lies; see `layouts.music_of`.
    limits
        The most that one file may take.
    log
        The file for the decoders' own messages; None to drop them.
    """

    part_size: int = PARTITION_SIZE
    ignore: tuple[str, ...] = ()
    layout: str = layouts.AUTO
    limits: audio.Limits = audio.Limits()
    log: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Return the rules that the settings name."""
        limits = audio.Limits(settings.max_duration_s, settings.file_timeout_s)
        layout, log = settings.library_format, settings.paths.decoding_log
        ignore = (*map(_pattern, folders_of_home(settings)), *settings.ignore)
        return cls(settings.part_size, ignore, layout, limits, log)

    def music(self, root: Place) -> str:
        """Return the folder below a library's root that holds the music."""
        return layouts.music_of(root, self.layout, self.ignore)


def folders_of_home(settings: Settings) -> list[str]:
    """Return the folders of a home that lies in the library, by their paths below its root."""
    if not isinstance(settings.library, Path):
        return []
    root = settings.library.resolve()
    folders = (folder.resolve() for folder in (*settings.paths.folders, settings.paths.demo))
    inner = (folder for folder in folders if folder != root and folder.is_relative_to(root))
    return [folder.relative_to(root).as_posix() for folder in inner]


def _pattern(folder: str) -> str:
    """Return the pattern of a folder, by its path below the root, in git's notation."""
    return "/" + re.sub(r"([\\*?\[ ])", r"\\\1", folder) + "/"


def no_progress(items: Iterable, _title: str, _total: int) -> Iterator:
    """Iterate without showing progress."""
    return iter(items)


def split(
    files: Iterable[AudioFile], part_size: int = PARTITION_SIZE, music: str = ""
) -> dict[str, list[AudioFile]]:
    """Split all files of a library into its partitions; see `partition_keys`."""
    files = list(files)
    keys = partition_keys((file.path for file in files), part_size, music)
    partitions: dict[str, list[AudioFile]] = {key: [] for key in sorted(set(keys.values()))}
    for file in files:
        partitions[keys[file.path]].append(file)
    return partitions


def split_library(root: Place, rules: Rules = Rules()) -> dict[str, list[AudioFile]]:
    """Find the files of a library, and split them into its partitions.

    Raises
    ------
    LibraryError
        As `find` does.
    """
    music = rules.music(root)
    return split(find(root, ignore=rules.ignore, music=music), rules.part_size, music)


def scan(
    root: Place, folder: Path, progress: Progress = no_progress, rules: Rules = Rules()
) -> list[AudioFile]:
    """Scan a library: find its audio files, and examine the new and changed ones.

    Parameters
    ----------
    root
        The library.
    folder
        The folder that keeps the files between scans.
    progress
        Shows progress.
    rules
        The settings of the scan.

    Returns
    -------
    list of AudioFile
        Sorted by path; unusable files carry their error.

    Raises
    ------
    LibraryError
        As `find` does.
    """
    return sorted_files(scan_by_partition(root, folder, progress, rules))


def scan_by_partition(
    root: Place, folder: Path, progress: Progress = no_progress, rules: Rules = Rules()
) -> dict[str, list[AudioFile]]:
    """Scan a library as `scan` does, and return the files of each partition."""
    partitions = split_library(root, rules)
    known = load_partitions(folder)
    found = _examine_all(root, folder, partitions, known, progress, rules)
    forget_partitions(folder, known.keys() - partitions.keys())
    return found


def scan_partitions(
    root: Place,
    folder: Path,
    keys: Collection[str],
    progress: Progress = no_progress,
    rules: Rules = Rules(),
) -> dict[str, list[AudioFile]]:
    """Scan some partitions of a library, as `scan` does all of it.

    Raises
    ------
    LibraryError
        As `scan` does, and if no partition has a file. One that has none beside others is left out
        with a warning. Only a look at the whole library can tell that it is gone; see
        `forget_partitions`.
    """
    music = rules.music(root)
    choose = chooser(keys, music)
    partitions: dict[str, list[AudioFile]] = {key: [] for key in keys}
    for file in find(root, keys, rules.ignore, music):
        if key := choose(file.path):
            partitions[key].append(file)
    if empty := sorted(key for key, files in partitions.items() if not files):
        gone = LibraryError(
            f"no audio files of {', '.join(empty)} lie below {root}: the folder was renamed, moved "
            "away or emptied. Its files stay known",
            f"`musicflow run {root}` looks at the whole library, and forgets them",
        )
        if len(empty) == len(partitions):
            raise gone
        _log.warning("%s", gone)
        partitions = {key: files for key, files in partitions.items() if files}
        keys = partitions.keys()
    # A partition that is new may hold files of another: a folder that grew is split anew.
    known = load_partitions(folder, keys if known_partitions(folder).issuperset(keys) else None)
    return _examine_all(root, folder, partitions, known, progress, rules)


def known_partitions(folder: Path) -> set[str]:
    """Return the partitions that have been scanned."""
    return {path.name.removesuffix(_SUFFIX) for path in (folder / _FILES).glob(f"*{_SUFFIX}")}


def times_of_partitions(folder: Path) -> dict[str, int]:
    """Return when the files of each known partition changed last, in nanoseconds."""
    paths = (folder / _FILES).glob(f"*{_SUFFIX}")
    return {path.name.removesuffix(_SUFFIX): path.stat().st_mtime_ns for path in paths}


def load_partitions(
    folder: Path, partitions: Collection[str] | None = None
) -> dict[str, list[AudioFile]]:
    """Return the files of each known partition, the partition that was scanned last at the end."""
    found = []
    for key in known_partitions(folder) if partitions is None else partitions:
        # Another process may forget a partition between listing and reading.
        with contextlib.suppress(FileNotFoundError):
            path = _file(folder, key)
            files = _files_in(path)
            found.append((path.stat().st_mtime_ns, key, files))
    return {key: files for _, key, files in sorted(found, key=lambda entry: entry[0])}


def _files_in(path: Path) -> list[AudioFile]:
    with told_of(path):
        return items_of(AudioFile, pq.read_table(path))


def load_files(folder: Path, partitions: Collection[str] | None = None) -> list[AudioFile]:
    """Return the files of the last scan, or those of some partitions, sorted by path."""
    return sorted_files(load_partitions(folder, partitions))


def load_states(folder: Path) -> dict[str, set[FileState]]:
    """Return path, size, time and ETag of the files of each partition at its last scan."""
    columns = ["path", "size", "mtime_ns", "etag"]
    return {
        partition: {state_of_file(file) for file in items_of(AudioFile, table)}
        for partition in known_partitions(folder)
        for table in [_columns_of(_file(folder, partition), columns)]
    }


def _columns_of(path: Path, columns: list[str]) -> pa.Table:
    """Return those columns that a file has; one of an earlier version may lack some."""
    with told_of(path), pq.ParquetFile(path) as file:
        return file.read(columns)


def forget_partitions(folder: Path, partitions: Iterable[str]) -> None:
    """Forget the files of partitions that are gone. Their vectors stay."""
    for partition in partitions:
        _file(folder, partition).unlink(missing_ok=True)


def _examine_all(
    root: Place,
    folder: Path,
    partitions: dict[str, list[AudioFile]],
    before: dict[str, list[AudioFile]],
    progress: Progress,
    rules: Rules,
) -> dict[str, list[AudioFile]]:
    """Examine the files that are not known yet, and save each partition once it is known."""
    known = sorted_files(before)
    old = {state_of_file(f): f for f in known if f.version == VERSION and f.code not in PASSING}
    found = [file for files in partitions.values() for file in files]
    fresh = [file for file in found if not file.code and state_of_file(file) not in old]
    states = {key: {state_of_file(file) for file in files} for key, files in partitions.items()}
    new = {state_of_file(file): file for file in found if file.code}
    result: dict[str, list[AudioFile]] = {}

    def keep(key: str) -> None:
        files = result[key] = _sorted(new.get(state) or old[state] for state in states[key])
        if files != before.get(key):
            _save(folder, key, files)

    waiting = {state_of_file(file) for file in fresh}
    lacking = {key: states[key] & waiting for key in partitions}
    place_of = {state: key for key, those in lacking.items() for state in those}
    for key in partitions:
        if not lacking[key]:
            keep(key)
    examined = progress(_examined(root, fresh, rules), "Reading files", len(fresh))
    for file in _connected(examined, known):
        new[state := state_of_file(file)] = file
        lacking[key := place_of[state]].discard(state)
        if not lacking[key]:
            keep(key)
    return {key: result[key] for key in partitions}


def examine_files(paths: Sequence[Place], rules: Rules = Rules()) -> list[AudioFile]:
    """Examine single files, whether or not they are of a library, in workers.

    Returns
    -------
    list of AudioFile
        One per path, in their order; unusable files carry their error.
    """
    files = [AudioFile(str(path.expanduser().absolute()), 0, 0) for path in paths]
    found = {file.path: file for file in _examined(Path("/"), files, rules)}
    return [found[file.path] for file in files]


def _examined(root: Place, files: list[AudioFile], rules: Rules) -> Iterator[AudioFile]:
    """Examine files in workers: a file that crashes one costs its own row."""
    examine = partial(_examine, root, rules.limits)
    names = [file.path for file in files]
    results = worker.each(
        examine, files, names=names, timeout_s=rules.limits.timeout_s, log=rules.log
    )
    for number, result in results:
        if isinstance(result, worker.WorkerError):
            result = replace(files[number], error=str(result), code=result.code, version=VERSION)
        elif isinstance(result, Exception):
            raise result
        yield result


def _examine(root: Place, limits: audio.Limits, file: AudioFile) -> AudioFile:
    path = place(file.path) if is_elsewhere(file.path) else root / file.path
    file = replace(file, version=VERSION)
    try:
        info = audio.examine(path)
        limits.check(info.duration_s)
        tags = read_tags(path)
    except audio.AudioError as error:
        return replace(file, error=str(error), code=error.code)
    except OSError as error:
        reason, code = fault_of_reading(error)
        return replace(file, error=reason, code=code)
    except PlaceError:
        raise
    except Exception as error:
        return replace(file, error=words_of(error), code=UNEXPECTED)
    return replace(
        file,
        content_hash=info.audio_hash,
        duration_s=info.duration_s,
        sample_rate=info.sample_rate,
        channels=info.channels,
        marks=info.marks,
        **vars(tags),
    )


def _connected(files: Iterable[AudioFile], known: Iterable[AudioFile]) -> Iterator[AudioFile]:
    """Give files the hash by which an earlier version knew the same content.

    Files that it decoded wrongly are left out: they are embedded again.
    """
    before = {state_of_file(f): f for f in known if f.version < VERSION and not f.error}
    wrong = []
    for file in files:
        former = before.get(state_of_file(file))
        if former is not None and not file.error:
            if _was_decoded_alike(former, file):
                file = replace(file, former_hash=former.content_hash)
            else:
                wrong.append(file.path)
        yield file
    if wrong:
        some = ", ".join(sorted(wrong)[:3]) + (", …" if len(wrong) > 3 else "")
        _log.warning(
            "An earlier version decoded files wrongly. They will be embedded again: %d (%s)",
            len(wrong),
            some,
        )


def _was_decoded_alike(former: AudioFile, file: AudioFile) -> bool:
    # It took Opus at the header's rate, left out pieces of a chain, and mixed surround channels
    # equally.
    difference = abs(former.duration_s - file.duration_s)
    return (
        former.sample_rate == file.sample_rate
        and difference <= max(0.1, 0.01 * file.duration_s)
        and file.channels <= 2
    )


def sorted_files(partitions: Mapping[str, list[AudioFile]]) -> list[AudioFile]:
    """Return all files of partitions, sorted by path.

    Files of a folder that was split again may be known twice. The later scan counts.
    """
    return _sorted({f.path: f for files in partitions.values() for f in files}.values())


def _sorted(files: Iterable[AudioFile]) -> list[AudioFile]:
    return sorted(files, key=lambda file: file.path)


def _save(folder: Path, partition: str, files: list[AudioFile]) -> None:
    write_atomically(_file(folder, partition), parquet_of(table_of(AudioFile, files)))


def _file(folder: Path, partition: str) -> Path:
    return folder / _FILES / f"{partition}{_SUFFIX}"


_FILES = "files"
_SUFFIX = ".parquet"
