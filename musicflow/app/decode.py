"""Decode one upload: a process of its own, with limits, that a hostile file can take down alone.

``python -m musicflow.app.decode SOURCE TARGET RATE`` writes TARGET, a mono WAV of floats at RATE
hertz. A file that cannot be used is one sentence on standard output and exit code 1.
"""

import resource
import sys
from pathlib import Path

import soundfile

from musicflow import audio

MAX_SECONDS = 15 * 60
"""The longest upload."""

CPU_SECONDS = 60
MEMORY_BYTES = 2 * 1024**3


def main(source: Path, target: Path, rate: int) -> None:
    """Decode `source` into `target`, or raise `audio.AudioError`."""
    _limit(rate)
    samples = 0
    with soundfile.SoundFile(target, "w", rate, 1, "FLOAT", format="WAV") as file:
        for block in audio.stream(source, rate):
            samples += len(block)
            if samples > MAX_SECONDS * rate:
                raise audio.AudioError(f"longer than {MAX_SECONDS // 60} minutes")
            file.write(block)


def _limit(rate: int) -> None:
    most_bytes = 4 * (MAX_SECONDS + 60) * rate
    for limit, value in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, most_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except (audio.AudioError, OSError) as error:
        print(error)
        sys.exit(1)
    except MemoryError:
        print("it needs more memory than an upload may take")
        sys.exit(1)
