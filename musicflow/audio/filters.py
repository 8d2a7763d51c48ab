"""FFmpeg's filters, on a stream of samples."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import AudioFrame
    from av.filter import Graph


def filtered(
    blocks: Iterable[np.ndarray], rate: int, name: str, arguments: str
) -> Iterator["AudioFrame"]:
    """Yield the frames that come out of a filter.

    Parameters
    ----------
    blocks
        Float32 mono, each of shape ``(n,)``.
    rate
        Their sample rate in hertz.
    name, arguments
        The filter, in FFmpeg's words.
    """
    # Imported here: a search by id needs no decoder.
    import av
    from av.filter import Graph

    graph, samples = Graph(), 0
    source = graph.add_abuffer(
        format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate)
    )
    graph.link_nodes(source, graph.add(name, arguments), graph.add("abuffersink")).configure()
    for block in blocks:
        if len(block):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block)[None], "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, samples, Fraction(1, rate)
            samples += len(block)
            graph.push(frame)
            yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _ready(graph: "Graph") -> Iterator["AudioFrame"]:
    """Yield the frames that a filter has made so far."""
    from av import FFmpegError

    # It says so where there is none, or none any more.
    with suppress(BlockingIOError, EOFError, FFmpegError):
        while True:
            yield graph.pull()  # type: ignore[misc]
