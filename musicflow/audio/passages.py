"""Passages: the parts of a file that are decoded, while the packets between them are passed over.

Every packet is read, which costs a tenth of decoding it, so that nothing hangs on what a container
knows of places in its file: where a passage lies follows from the times of its packets, and what is
missing at the end is found as in a file that is decoded whole.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet

LEAD_S = 0.05
"""What a resampler needs around a passage."""

_PRE_ROLL_S = {"flac": 0.1, "mp3": 0.25, "vorbis": 0.25}
"""What a decoder needs before a passage to give the samples of a file that is decoded whole, by
codec. MP3 may hold 511 bytes back for later frames, which is 0.25 s at its least bit rate."""

_OTHERS_S = 0.5
"""The same for all other codecs. Opus needs the most of them."""

_LOW_RATES = 32_000
_LOW_RATES_S = 0.65
"""The same for MP3 below this rate: it may hold 255 bytes back, which is 23 frames at 8 kbit/s."""

_FAR_S = 2.0
"""Fewer seconds than this are read through."""

DRIFT_S = 0.1
"""Packets and samples may differ by this: the delay of an encoder, or a packet that is damaged."""


Jump = Callable[[float, float], bool]
"""A function that lets the packets go on elsewhere, ``jump(before, behind)``: ahead of a time, to
read up to another, in ticks. It returns whether it did."""


class UntimedError(Exception):
    """A file whose packets do not say to a sample when they are heard."""


class Passages:
    """The passages of a file.

    Parameters
    ----------
    spans_s
        The beginnings and ends of what is heard in seconds, ascending.
    sample_rate
        The rate of what is heard in hertz.
    """

    def __init__(self, spans_s: Sequence[tuple[float, float]], sample_rate: int) -> None:
        self.is_new = True
        """Whether the next frame begins a passage."""
        self._spans_s = spans_s
        self._sample_rate = sample_rate
        self._origin: float | None = None
        self._rate = 0
        self._end_s = 0.0
        self._before_s = 0.0
        self._passed_s = 0.0

    @property
    def seconds(self) -> float:
        """The length of the file by its packets read so far, in seconds."""
        return self._end_s - (self._origin or 0.0)

    def begin(self, frame: "AudioFrame", codec: str) -> float:
        """Begin a passage with a frame of a codec, and return where it lies in seconds."""
        tick, rate = frame.time_base, frame.sample_rate
        if frame.pts is None or tick is None or not frame.duration:
            raise UntimedError
        # A clock too coarse for samples will do where frames last whole ticks.
        if (1 / (tick * rate)).denominator > 1 and frame.duration * tick * rate != frame.samples:
            raise UntimedError
        # By its end: of Vorbis' frames that begin a page of Ogg, the beginning is misstated.
        start_s = float((frame.pts + frame.duration) * tick) - frame.samples / rate
        if self._origin is None:
            self._origin, self._rate = start_s, rate
            # Rates with few common divisors meet rarely.
            meet_s = 1 / math.gcd(rate, self._sample_rate)
            self._before_s = _pre_roll_s(codec, rate) + LEAD_S + meet_s
        if rate != self._rate:
            raise UntimedError
        self.is_new = False
        return start_s - self._origin

    def check(self, decoded_s: float) -> None:
        """Compare where the passage ends by its samples with where it ends by its packets.

        Raises
        ------
        UntimedError
            If these are different places.
        """
        if abs(decoded_s - self._passed_s) > DRIFT_S:
            raise UntimedError

    def of(
        self, packets: Iterable["Packet"], tick_s: float, jump: Jump | None = None
    ) -> Iterator["Packet | None"]:
        """Yield the packets of the passages, and None where some were passed over.

        Parameters
        ----------
        packets
            All packets of the file.
        tick_s
            The unit of their times in seconds.
        jump
            Passes over packets without reading them; see `Jump`.

        Raises
        ------
        UntimedError
            If a packet does not say when it is heard.
        """
        spans = iter(self._spans_s)
        passed, before, behind = False, math.inf, -math.inf
        for packet in packets:
            if not packet.size:
                yield packet
                continue
            start, duration = packet.pts, packet.duration
            if start is None or not duration:
                raise UntimedError
            end = start + duration
            self._end_s = end * tick_s
            if self._origin is not None:
                while start > behind:
                    first_s, last_s = next(spans, (math.inf, math.inf))
                    before = (self._origin + first_s - self._before_s) / tick_s
                    behind = (self._origin + last_s + LEAD_S) / tick_s
                if end <= before:
                    passed = True
                    if jump is not None and before - end > _FAR_S / tick_s:
                        # The decoder gives what it still holds before it is taken elsewhere.
                        yield None
                        jump(before - duration, behind)
                    continue
            if passed:
                yield None
                passed, self.is_new = False, True
            yield packet
            self._passed_s = self._end_s - (self._origin or 0.0)


def _pre_roll_s(codec: str, sample_rate: int) -> float:
    if codec == "mp3" and sample_rate < _LOW_RATES:
        return _LOW_RATES_S
    return _PRE_ROLL_S.get(codec, _OTHERS_S)
