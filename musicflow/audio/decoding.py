"""Decoding: any audio file to float32 mono at a wanted rate, in blocks.

Memory stays flat whatever a file's length.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import av
import numpy as np
import soxr

from musicflow.audio import container as containers
from musicflow.audio import ogg
from musicflow.audio.errors import AudioError, Note
from musicflow.audio.marks import Marks
from musicflow.audio.mixing import mix, peak, weights
from musicflow.audio.passages import Passages, UntimedError
from musicflow.places import Place, Remote

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

BLOCK_S = 4.0
_BLOCK_SAMPLES = 8_000_000
"""Of all channels together: a block never takes more than 32 MB."""

SILENCE = 1e-4
"""A file none of whose channels rises above this (-80 dBFS) is silent."""

QUIET = 1e-2
"""A file that peaks below this (-40 dBFS) gets a note: models were trained on louder music."""

LOUD = 2.0
"""A file that peaks above this (+6 dBFS) gets a note. Lossy codecs overshoot by less."""

_LOST = 0.01
_LOST_S = 0.1
"""A file may lack this share of its length, or these seconds of a short one. A file that lacks
more is refused."""

_END_S = 1.0
"""A fault this near to the end is where the file was cut off."""

_BREAKS = 100
"""The most faults of a container that are skipped to read the rest."""

_READ_ON = 32_768
"""Bytes that FFmpeg reads beyond the packets that it is asked for."""

_PLANES = 8
"""From so many planes per frame on, PyAV crashes, since it counts them up to an empty one."""


@dataclass(frozen=True)
class Limits:
    """The most that one file may take.

    Parameters
    ----------
    max_duration_s
        The most seconds of audio; a longer file is refused.
    timeout_s
        Seconds that the decoder may work on it.
    """

    max_duration_s: float = 86_400.0
    timeout_s: float = 300.0

    def check(self, seconds: float) -> None:
        """Refuse a file that is longer than the limit.

        Raises
        ------
        AudioError
            If it is, with the code ``too-long``.
        """
        if seconds > self.max_duration_s:
            raise AudioError(f"longer than {self.max_duration_s / 3600:g} hours", code="too-long")


class Decoding:
    """The samples of a file, decoded once, block by block.

    Parameters
    ----------
    path
        The file.
    sample_rate
        The rate of the output in hertz. Resampling is soxr's high quality, streamed: the result
        does not depend on the size of the blocks.
    limits
        What the file may take.

    Yields
    ------
    numpy.ndarray
        Float32 mono, shape ``(n,)``, nominally in [-1, 1]; n varies.

    Raises
    ------
    AudioError
        If the file cannot be used; see `AudioError` for the kinds.
    OSError
        If the system does not give the file.
    """

    def __init__(self, path: Place, sample_rate: int, limits: Limits = Limits()) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.limits = limits
        self.seconds = 0.0
        """Seconds decoded so far."""
        self._frames = Frames(path)
        self._peaks = np.zeros(0, np.float32)
        self._cancelled = False
        self._concealed = self._longer = self._endless = ""

    def __iter__(self) -> Iterator[np.ndarray]:
        resampler, rate = None, 0
        for block in self._blocks():
            if block.rate != rate:
                if resampler is not None:
                    yield last_of(resampler)
                resampler, rate = resampler_of(block.rate, self.sample_rate), block.rate
            mono = self._mix(block)
            yield mono if resampler is None else resampler.resample_chunk(mono)
        if resampler is not None:
            yield last_of(resampler)

    def _blocks(self) -> Iterator["Block"]:
        """Yield the blocks of the file, then refuse it if it cannot be used."""
        lengths: list[float | None] = []
        for piece in self._pieces():
            with containers.opened(piece) as (container, stream, codec):
                for block in self._frames.blocks(container, stream, codec):
                    self._look_at(block)
                    yield block
                start = self._frames.start
                lengths.append(containers.lengths.stated(piece, container, stream, start))
                if container.format.name == "ogg" and not ogg.ends_whole(piece.path, piece.end):
                    self._endless = f"its end is missing: it breaks off after {self.seconds:.1f} s"
        self._check(sum(filter(None, lengths)) if all(lengths) else None)

    def _pieces(self) -> list[containers.Piece]:
        return containers.pieces(self.path)

    def _mix(self, block: "Block") -> np.ndarray:
        shares = weights(block.layout, len(block.samples))
        mono, cancelled = mix(block.samples, shares, block.peaks)
        self._cancelled |= cancelled
        return mono

    @property
    def notes(self) -> tuple[Note, ...]:
        """Return notes on the file, once all of it is decoded."""
        loudest = self._peak
        texts = {
            "concealed": self._concealed,
            "longer-than-stated": self._longer,
            "no-end": self._endless,
            "channels-cancel": "its channels cancel each other; the loudest was heard alone"
            if self._cancelled
            else "",
            "one-sided": "one of its two channels is silent, so it is heard 6 dB down"
            if len(self._peaks) == 2 and self._peaks.min() < SILENCE
            else "",
            "quiet": f"very quiet: it peaks at {_decibels(loudest)}" if loudest < QUIET else "",
            "over-full-scale": f"far too loud: it peaks at {_decibels(loudest)}"
            if loudest > LOUD
            else "",
        }
        return tuple(Note(code, text) for code, text in texts.items() if text)

    @property
    def _peak(self) -> float:
        return float(self._peaks.max(initial=0.0))

    def _look_at(self, block: "Block") -> None:
        peaks = block.peaks
        if not np.isfinite(peaks).all():
            raise AudioError(
                f"samples near {self.seconds:.1f} s are not numbers", code="not-finite"
            )
        if len(peaks) != len(self._peaks):
            # The first block, or channels that come or go: then only the loudest so far counts.
            self._peaks = np.full_like(peaks, self._peak)
        self._peaks = np.maximum(self._peaks, peaks)
        self.seconds = block.start_s + block.samples.shape[1] / block.rate
        self.limits.check(self.seconds)

    def _check(self, stated: float | None) -> None:
        """Refuse a file that is incomplete, silent or without samples."""
        if not self.seconds:
            raise AudioError("the file holds no audio", code="no-samples")
        faults, whole = self._frames.faults, max(self.seconds, stated or 0.0)
        lost = max(0.0, stated - self.seconds) if stated else faults.seconds(self.seconds)
        allowed = max(_LOST * whole, _LOST_S)
        inside = faults.count > 0 and 0 < faults.first_s < self.seconds - _END_S
        if lost > allowed and inside:
            raise AudioError(
                f"damaged near {faults.first_s:.1f} s: {lost:.1f} s cannot be decoded",
                code="damaged",
            )
        if lost > allowed:
            raise AudioError(
                f"cut off: {self.seconds:.1f} s of {whole:.1f} s could be decoded",
                code="truncated",
            )
        if inside or lost > _LOST_S:
            where = f"damaged near {faults.first_s:.1f} s" if inside else "damaged"
            self._concealed = f"{where}: {lost:.2f} s are missing"
        if stated and self.seconds - stated > allowed:
            self._longer = f"{self.seconds:.1f} s were decoded; its header states {stated:.1f} s"
        if self._peak < SILENCE:
            raise AudioError("silent: no sample rises above -80 dBFS", code="silent")


def stream(path: Place, sample_rate: int, limits: Limits = Limits()) -> Iterator[np.ndarray]:
    """Decode a file block by block; see `Decoding`."""
    return iter(Decoding(path, sample_rate, limits))


def decode(path: Place, sample_rate: int) -> np.ndarray:
    """Decode a whole file at once, to float32 mono, shape ``(n,)``; see `Decoding`."""
    return np.concatenate(list(stream(path, sample_rate)))


def resampler_of(source: int, target: int) -> soxr.ResampleStream | None:
    """Return a resampler of one channel; None where there is nothing to do."""
    return None if source == target else soxr.ResampleStream(source, target, 1, dtype="float32")


def last_of(resampler: soxr.ResampleStream) -> np.ndarray:
    """Return the samples that a resampler still holds."""
    return np.asarray(resampler.resample_chunk(np.zeros(0, np.float32), last=True))


def _decibels(peak: float) -> str:
    return f"{20 * np.log10(max(peak, 1e-10)):+.0f} dBFS"


# --- frames to blocks ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """Samples of one format: float32, shape ``(C, n)``, until the next block is made."""

    samples: np.ndarray
    rate: int
    layout: str
    start_s: float
    """Where it begins, in seconds."""

    @cached_property
    def peaks(self) -> np.ndarray:
        """Return the peak of each channel; not finite where a sample is not."""
        return peak(self.samples)


class _Gathering:
    """Frames of one format, gathered into a block."""

    def __init__(self, frame: "AudioFrame") -> None:
        self._rate, self._channels = frame.sample_rate, frame.layout.nb_channels
        self._layout, self._format = frame.layout.name, frame.format.name
        self._packing = None
        if frame.format.is_planar and self._channels >= _PLANES:
            self._packing = av.AudioResampler("flt", frame.layout.name, frame.sample_rate)
        packed = self._packing is not None or not frame.format.is_planar
        self._type = _TYPES["flt" if self._packing else self._format.removesuffix("p")]
        self._frames: list[AudioFrame] = []
        self._each = self._channels if packed else 1
        self._size = min(int(BLOCK_S * self._rate), _BLOCK_SAMPLES // self._channels)
        self._filled = 0
        self._space = np.empty((self._channels, 0), np.float32)

    @property
    def seconds(self) -> float:
        """Return the length of the gathered frames in seconds."""
        return self._filled / self._rate

    def fits(self, frame: "AudioFrame") -> bool:
        """Return whether a frame has the format of the block."""
        return bool(
            frame.sample_rate == self._rate
            and frame.format.name == self._format
            and frame.layout.nb_channels == self._channels
        )

    def add(self, frame: "AudioFrame") -> bool:
        """Add a frame; return whether the block is full."""
        self._frames.append(frame)
        self._filled += frame.samples
        return self._filled >= self._size

    def take(self, start_s: float) -> Block:
        """Return the block, and begin an empty one."""
        # The same memory for each block: fresh memory costs as much as the copy into it.
        if self._filled > self._space.shape[1]:
            self._space = np.empty((self._channels, self._filled), np.float32)
        samples = self._space[:, : self._filled]
        # Doubles beyond the range of a float become infinite, which is reported.
        with np.errstate(over="ignore", invalid="ignore"):
            self._fill(samples)
        self._frames.clear()
        self._filled = 0
        _scale(samples, self._type)
        return Block(samples, self._rate, self._layout, start_s)

    def _fill(self, samples: np.ndarray) -> None:
        frames = self._frames
        if self._packing is not None:
            frames = [packed for frame in frames for packed in self._packing.resample(frame)]
        planes = [frame.planes for frame in frames]
        counts = [frame.samples * self._each for frame in frames]
        if self._each == 1:
            for channel, row in enumerate(samples):
                views = [
                    np.frombuffer(each[channel], self._type, count)  # type: ignore[call-overload]
                    for each, count in zip(planes, counts, strict=True)
                ]
                np.concatenate(views, out=row, casting="unsafe")
        else:
            views = [
                np.frombuffer(each[0], self._type, count)  # type: ignore[call-overload]
                for each, count in zip(planes, counts, strict=True)
            ]
            samples[:] = np.concatenate(views).reshape(-1, self._channels).T


_TYPES: dict[str, type[np.generic]] = {
    "u8": np.uint8, "s16": np.int16, "s32": np.int32, "s64": np.int64,
    "flt": np.float32, "dbl": np.float64,
}  # fmt: skip
"""FFmpeg's sample formats. The names of those with one plane per channel end in p."""


def _scale(samples: np.ndarray, type_: type[np.generic]) -> None:
    """Scale samples of an integer type to full scale 1, in place."""
    if type_ is np.uint8:
        samples -= 128
    if issubclass(type_, np.integer):
        samples *= np.float32(2.0 ** (1 - 8 * np.dtype(type_).itemsize))


@dataclass
class _Faults:
    """The parts of a file that could not be decoded."""

    count: int = 0
    first_s: float = 0.0
    """Where the first fault is."""
    lost_s: float = 0.0
    """The length of packets that could not be decoded."""
    skipped: int = 0
    """Bytes between packets that are no packets."""
    read: int = 0
    """Bytes of packets."""

    def add(self, position_s: float, seconds: float = 0.0, skipped: int = 0) -> None:
        if not self.count:
            self.first_s = position_s
        self.count += 1
        # Bytes before the first sound are junk, and no lost audio.
        if position_s:
            self.lost_s += seconds
            self.skipped += skipped

    def seconds(self, decoded_s: float) -> float:
        """Return the lost seconds, given the decoded ones."""
        return self.lost_s + decoded_s * self.skipped / max(self.read, 1)


class Frames:
    """The frames of one file, gathered into blocks, and its faults.

    Parameters
    ----------
    path
        The file.
    passages
        The passages to decode; all of the file if not given.
    marks
        Where packets lie, so that those between the passages are not even read.
    """

    def __init__(
        self, path: Place, passages: Passages | None = None, marks: Marks | None = None
    ) -> None:
        self.faults = _Faults()
        self.start: int | None = None
        """The place of the first packet in the file."""
        self._path = path
        self._passages = passages
        self._marks = marks
        self._mark: tuple[int, int] | None = None
        self._end: int | None = None
        self._is_there = True
        self._start_s = 0.0
        self._gathering: _Gathering | None = None

    def blocks(
        self, container: "InputContainer", stream: "AudioStream", codec: "AudioCodecContext"
    ) -> Iterator[Block]:
        """Yield the blocks of a piece of the file."""
        decode, gathering, passages = codec.decode, self._gathering, self._passages
        packets = self._packets(container, stream)
        tick_s = float(stream.time_base or 1)
        if passages is None:
            chosen: Iterable[av.Packet | None] = packets
        else:
            jump = partial(self._jump, container, stream) if self._marks is not None else None
            chosen = passages.of(packets, tick_s, jump)
        for packet in chosen:
            try:
                frames = decode(packet)
            except av.FFmpegError:
                self._lose(packet, stream)
                continue
            for frame in frames:
                if gathering is None or not gathering.fits(frame):
                    yield from self._take()
                    containers.check_format(frame)
                    gathering = self._gathering = _Gathering(frame)
                if passages is not None and passages.is_new:
                    self._start_s = passages.begin(frame, codec.codec.canonical_name)
                if gathering.add(frame):
                    yield from self._take()
            if packet is None and passages is not None:
                passages.check(self._position_s)
                yield from self._take()
                codec.flush_buffers()
        yield from self._take()

    def _take(self) -> Iterator[Block]:
        if self._gathering is not None and (seconds := self._gathering.seconds):
            start_s = self._start_s
            self._start_s += seconds
            yield self._gathering.take(start_s)

    def _lose(self, packet: "av.Packet | None", stream: "AudioStream") -> None:
        # The tag of a piece that was joined is no loss.
        if packet is not None and not bytes(packet).startswith(b"ID3"):
            length = float((packet.duration or 0) * (stream.time_base or 0))
            self.faults.add(self._position_s, length)

    def _packets(self, container: "InputContainer", stream: "AudioStream") -> Iterator["av.Packet"]:
        packets = self._demuxed(container, stream)
        bare = container.format.name in containers.BARE
        if self._marks is not None:
            packets = self._timed(packets, bare)
        return self._adjoining(packets) if bare else packets

    def _jump(
        self, container: "InputContainer", stream: "AudioStream", before: float, behind: float
    ) -> bool:
        """Let the packets go on at the last mark before a time, if it is ahead."""
        assert self._marks is not None
        time, place = self._marks.before(before)
        if self._mark is not None and time <= self._mark[0]:
            return False
        if container.format.name in containers.BARE:
            container.seek(place, unsupported_byte_offset=True)
        else:
            container.seek(time, stream=stream)
        self._mark, self._end, self._is_there = (time, place), None, False
        if isinstance(self._path, Remote):
            with self._path.open("rb") as file:
                end = self._marks.behind(behind) or file.status.st_size
                file.will_read(place, min(end + _READ_ON, file.status.st_size))
        return True

    def _timed(self, packets: Iterator["av.Packet"], bare: bool) -> Iterator["av.Packet"]:
        """Yield packets; behind a jump with the times that they have in the whole file.

        Raises
        ------
        UntimedError
            If a jump does not lead to its mark.
        """
        time = 0
        for packet in packets:
            if self._mark is None or not packet.size:
                yield packet
                continue
            if not self._is_there:
                at, place = self._mark
                found = packet.pos if bare else packet.pts
                wrong = found != place if bare else found is None or found > at
                if wrong or (packet.pos == place and not bare and packet.pts != at):
                    raise UntimedError
                time, self._is_there = at, True
            if bare:
                packet.pts = packet.dts = time
                time += packet.duration or 0
            yield packet

    def _demuxed(self, container: "InputContainer", stream: "AudioStream") -> Iterator["av.Packet"]:
        for _ in range(_BREAKS):
            packets = container.demux(stream)
            try:
                for packet in packets:
                    if self.start is None:
                        self.start = packet.pos
                    yield packet
                return
            except av.FFmpegError:
                # The packets behind the fault may be sound.
                self.faults.add(self._position_s)

    def _adjoining(self, packets: Iterator["av.Packet"]) -> Iterator["av.Packet"]:
        """Yield packets that should adjoin, and count the bytes between them as faults."""
        faults = self.faults
        for packet in packets:
            size, place, end = packet.size, packet.pos, self._end
            if size and place is not None:
                if end is not None and place > end and not containers.is_tag(self._path, end):
                    faults.add(self._position_s, skipped=place - end)
                self._end = place + size
                faults.read += size
            yield packet

    @property
    def _position_s(self) -> float:
        return self._start_s + (self._gathering.seconds if self._gathering is not None else 0.0)
