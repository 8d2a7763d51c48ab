"""The measured speed of publication and evaluation, to estimate the next run."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musicflow.atomic import write_atomically

EVALUATION = "evaluate"
LANDMARKS = "landmarks"


def publication(label: str) -> str:
    """Return the name of an embedder's publication."""
    return f"publish/{label}"


class Pace:
    """Seconds per track of pieces of work, as they last took, in a file of the home."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def estimate(self, work: str, tracks: int) -> float | None:
        """Return the estimated seconds for some tracks; None if not measured."""
        each = self._read().get(work)
        return None if each is None else each * tracks

    @contextmanager
    def measure(self, work: str, tracks: int) -> Iterator[None]:
        """Measure the work of a block, and keep its pace unless the block fails."""
        started = time.perf_counter()
        yield
        each = (time.perf_counter() - started) / max(tracks, 1)
        write_atomically(self.path, json.dumps(self._read() | {work: each}).encode())

    def _read(self) -> dict[str, float]:
        return json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
