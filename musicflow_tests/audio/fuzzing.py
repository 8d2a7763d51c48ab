"""Mutated files, and what becomes of them: examined, their tags read, decoded to the end.

Each batch of files is looked at in a process of its own, so that a crash or a file that takes for
ever is counted and ends nothing. A case is the same each time: it follows from its number.
"""

import contextlib
import multiprocessing
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import mutagen
import numpy as np

from musicflow import audio
from musicflow.library.tags import read_tags
from musicflow_tests.audio.corpus import CASES, build

SECONDS = 0.3
"""Length of the music in files that are mutated."""

LARGEST = 220_000
"""Bytes of the largest file that is mutated."""

TIMEOUT_S = 10.0

BATCH = 500
"""Cases per process."""

_LIMITS = audio.Limits(max_duration_s=3_600, timeout_s=TIMEOUT_S)


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Parameters
    ----------
    number
        Of the case.
    name
        Of the file that was mutated.
    code
        ``decoded``, the code of an error, ``crashed``, ``timeout``, or ``! `` and the name of an
        exception that is no `MusicflowError`.
    seconds
        How long it took.
    peak_mb
        The most memory that the process had meanwhile, in megabytes.
    """

    number: int
    name: str
    code: str
    seconds: float
    peak_mb: float


# --- files -------------------------------------------------------------------------------------


def seeds(folder: Path) -> list[Path]:
    """Make the files that are mutated: the small good ones of the corpus, with tags."""
    cases = [case for case in CASES if case.is_small and case.right is None]
    made = build(folder, cases, SECONDS)
    paths = [path for path in made.values() if isinstance(path, Path) and path.is_file()]
    for path in paths:
        # Not every kind takes tags.
        with contextlib.suppress(Exception):
            file = mutagen.File(path, easy=True)
            file["title"], file["artist"], file["genre"] = "A title", ["One", "Two"], "(17)"
            file.save()
    return sorted(path for path in paths if 0 < path.stat().st_size <= LARGEST)


Rng = np.random.Generator


def _place(rng: Rng, content: bytes) -> int:
    """A place in a file, mostly in a header or a tag at its beginning or its end."""
    anywhere = int(rng.integers(0, len(content)))
    # The first bytes say what a file is: without them there is nothing left to try.
    near = 12 + int(500 * rng.random() ** 2)
    places = (near, near, len(content) - near, anywhere)
    return min(max(0, places[rng.integers(0, 4)]), len(content) - 1)


def _size(rng: Rng, content: bytes) -> int:
    """A length, mostly small."""
    return int(len(content) ** rng.random())


def _truncated(rng: Rng, content: bytes, _other: bytes) -> bytes:
    return content[: int(rng.integers(1, len(content) + 1))]


def _bits_flipped(rng: Rng, content: bytes, _other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        changed[_place(rng, content)] ^= 1 << rng.integers(0, 8)
    return bytes(changed)


def _overwritten(rng: Rng, content: bytes, _other: bytes) -> bytes:
    start, size = _place(rng, content), _size(rng, content)
    new = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.integers(0, 256)]) * size
    return content[:start] + new + content[start + size :]


def _cut_out(rng: Rng, content: bytes, _other: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + content[start + _size(rng, content) :]


def _inserted(rng: Rng, content: bytes, _other: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + rng.bytes(_size(rng, content)) + content[start:]


def _doubled(rng: Rng, content: bytes, _other: bytes) -> bytes:
    start = _place(rng, content)
    end = start + _size(rng, content)
    return content[:end] + content[start:end] * int(rng.integers(1, 4)) + content[end:]


def _spliced(rng: Rng, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)] + other[_place(rng, other) :]


def _extreme(rng: Rng, content: bytes, _other: bytes) -> bytes:
    """An extreme whole number, in either order of bytes, over what may be a field of a header."""
    size = int(rng.choice([1, 2, 4, 8]))
    most = 256**size
    power = 1 << int(rng.integers(0, 8 * size))
    edges = (0, 1, most - 1, most // 2, most // 2 - 1, most // 4, power)
    value = edges[rng.integers(0, len(edges))]
    start = _place(rng, content)
    order = "big" if rng.random() < 0.5 else "little"
    return content[:start] + value.to_bytes(size, order) + content[start + size :]


_MUTATIONS: tuple[Callable[[Rng, bytes, bytes], bytes], ...] = (
    _truncated,
    _bits_flipped,
    _overwritten,
    _cut_out,
    _inserted,
    _doubled,
    _spliced,
    _extreme,
    _extreme,
    _extreme,
)


def mutated(paths: Sequence[Path], number: int) -> tuple[str, bytes]:
    """Return the name of the file that a case starts from, and the bytes that it comes to."""
    rng = np.random.default_rng(number)
    path = paths[number % len(paths)]
    content = path.read_bytes()
    for _ in range(rng.choice([1, 1, 2, 3])):
        other = paths[rng.integers(0, len(paths))].read_bytes()
        mutation = _MUTATIONS[rng.integers(0, len(_MUTATIONS))]
        content = mutation(rng, content, other) or b"\0"
    if content.startswith(b"OggS") and rng.random() < 0.7:
        content = _with_right_checksums(content)
    return path.name, content


def _with_right_checksums(content: bytes) -> bytes:
    """Ogg whose pages pass their check, without which a demuxer leaves them out."""
    changed = bytearray(content)
    start = content.find(b"OggS")
    while 0 <= start < len(content) - 27:
        count = content[start + 26]
        size = 27 + count + sum(content[start + 27 : start + 27 + count])
        changed[start + 22 : start + 26] = bytes(4)
        page = changed[start : start + size].translate(_MIRRORED)
        # The checksum of zlib, but with the bits in the other order, and 0 in the beginning.
        mirrored = zlib.crc32(page, 0xFFFFFFFF) ^ 0xFFFFFFFF
        changed[start + 22 : start + 26] = mirrored.to_bytes(4, "big").translate(_MIRRORED)
        start = content.find(b"OggS", start + 1)
    return bytes(changed)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


# --- in a process of its own -------------------------------------------------------------------


def look_at(path: Path) -> None:
    """Do with a file all that a run does with it, short of embedding."""
    read_tags(path)
    audio.examine(path)
    for _ in audio.stream(path, 16_000, _LIMITS):
        pass


def _code(path: Path) -> str:
    try:
        look_at(path)
    except audio.AudioError as error:
        return error.code
    except Exception as error:
        return f"! {type(error).__name__}"
    return "decoded"


def _peak_mb() -> float:
    """The most memory of this process since the last call."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM")]
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) / 1024


def _work(paths: Sequence[Path], numbers: range, parent: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _peak_mb()
        for number in numbers:
            name, content = mutated(paths, number)
            path = Path(folder) / name
            path.write_bytes(content)
            started = time.perf_counter()
            code = _code(path)
            took = time.perf_counter() - started
            parent.send(Outcome(number, name, code, took, _peak_mb()))
            path.unlink()


# --- in the parent -----------------------------------------------------------------------------


def outcomes(paths: Sequence[Path], numbers: range) -> Iterator[Outcome]:
    """Look at mutated files, in processes that may crash."""
    while numbers:
        for outcome in _batch(paths, numbers[:BATCH]):
            numbers = numbers[1:]
            yield outcome


def _batch(paths: Sequence[Path], numbers: range) -> Iterator[Outcome]:
    """The outcomes of a batch, up to one that ends the process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(paths, numbers, theirs))
    process.start()
    theirs.close()
    # The first case waits for the process to start, too.
    started, allowed = time.perf_counter(), 60.0
    try:
        for number in numbers:
            if not ours.poll(allowed + TIMEOUT_S):
                yield _ended(paths, number, "timeout", started)
                return
            try:
                yield ours.recv()
            except EOFError:
                yield _ended(paths, number, "crashed", started)
                return
            started, allowed = time.perf_counter(), 0.0
    finally:
        process.kill()
        process.join()
        ours.close()


def _ended(paths: Sequence[Path], number: int, code: str, started: float) -> Outcome:
    name, _ = mutated(paths, number)
    return Outcome(number, name, code, time.perf_counter() - started, 0.0)
