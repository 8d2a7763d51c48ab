"""A corpus of small audio files of every kind, and what is right for each.

`CASES` is the table: one `Case` per file. A file is made from made-up music, which is the same each
time, by the encoder that people use for its kind, or byte by byte where no encoder makes it.
"""

import struct
import subprocess
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from musicflow_tests.audio.makers import (
    Maker,
    ToolMissingError,
    adts_reserved_rate,
    behind,
    dff,
    dsf,
    ffmpeg,
    flac_rate,
    flac_total,
    half,
    joined,
    lame,
    make_fifo,
    of_bytes,
    overwritten,
    patched,
    png,
    random_bytes,
    replaced,
    tagged,
    then,
    to_pipe,
    tool,
    wav,
    with_ape_tag,
    with_cover,
    with_flac_cover,
    written,
    xing_times,
)
from musicflow_tests.audio.music import (
    MONO,
    ONE_SIDE,
    STEREO,
    Sound,
    first,
    louder,
    quiet_end,
    quiet_start,
    with_value,
)

SECONDS = 6.1
"""How long a piece of music is: two windows of musicnn."""

# Least cosines of musicnn to the WAV of the same rate.
LOSSLESS = 0.99
LOSSY = 0.96
"""At 128 kbit/s or more."""
COARSE = 0.85
"""Below that, or with 8 bits a sample: a listener hears the loss, too."""


@dataclass(frozen=True)
class Case:
    """A file of the corpus, and what is right for it.

    Parameters
    ----------
    name
        Of the file.
    make
        Makes it.
    right
        Codes of errors, one of which refuses the file; None where it is to be decoded.
    codes
        Codes of the notes that a decoded file has: these, all of these, and no others.
    sounds
        The pieces of music in it, one behind the other.
    cosine
        The least cosine of musicnn to that music; 0 where the sound is not compared.
    by_sound
        Whether the right length is that of the music, since FFmpeg's command line fails.
    """

    name: str
    make: Maker = field(repr=False)
    right: tuple[str, ...] | None = None
    codes: frozenset[str] = frozenset()
    sounds: tuple[Sound, ...] = (STEREO,)
    cosine: float = LOSSLESS
    by_sound: bool = False

    @property
    def is_small(self) -> bool:
        """Whether nothing in it is repeated to make it long."""
        return all(sound.times == 1 for sound in self.sounds)

    def write(self, folder: Path, seconds: float = SECONDS) -> Path:
        """Make the file in a folder.

        Raises
        ------
        ToolMissingError
            If its encoder is not installed.
        """
        path = folder / self.name
        self.make(path, *(sound.audio(seconds) for sound in self.sounds))
        return path

    def mono(self, rate: int, seconds: float = SECONDS) -> np.ndarray:
        """Return what a listener hears of it."""
        return np.concatenate([sound.mono(seconds, rate) for sound in self.sounds])


def decoded(
    name: str,
    make: Maker,
    *sounds: Sound,
    cosine: float = LOSSLESS,
    notes: Collection[str] = (),
    by_sound: bool = False,
) -> Case:
    return Case(name, make, None, frozenset(notes), sounds or (STEREO,), cosine, by_sound)


lossy = partial(decoded, cosine=LOSSY)
coarse = partial(decoded, cosine=COARSE)


def refused(name: str, make: Maker, *codes: str, sound: Sound = STEREO) -> Case:
    return Case(name, make, codes, sounds=(sound,))


MP3 = lame("-b", "128")
VORBIS = tool("oggenc", "-Q", "-q", "5", "-o", "OUT", "IN", subtype="PCM_16")
OPUS = tool("opusenc", "--quiet", "--bitrate", "128", "IN", "OUT", subtype="PCM_16")
FLAC = written(format="FLAC")
AAC = ffmpeg("-c:a", "aac", "-b:a", "160k", "-f", "ipod", "-movflags", "faststart")
LAME_192, LAME_320, LAME_VBR = lame("-b", "192"), lame("-b", "320"), lame("-V", "2")
BARE_MP3 = lame("-b", "192", "-t")
"""Without the header of Xing and LAME."""
ADTS = ffmpeg("-c:a", "aac", "-b:a", "160k", "-f", "adts")
FLOAT_WAV = written(subtype="FLOAT")
FLOAT_WAVPACK = ffmpeg("-sample_fmt", "fltp")
PICTURE = ("-f", "lavfi", "-i", "color=s=64x64:r=5")
UNREADABLE = ("not-audio", "unreadable", "bad-header")


def _kinds() -> Iterator[Case]:
    """One file per kind of container and codec."""
    for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        yield decoded(f"wav-{subtype}.wav".lower(), written(subtype=subtype))
    for subtype in ("PCM_U8", "ALAW", "ULAW", "MS_ADPCM", "IMA_ADPCM"):
        name = f"wav-{subtype}.wav".lower()
        yield coarse(name, written(subtype=subtype))
    yield decoded("wav-extensible.wav", written(format="WAVEX", subtype="PCM_24"))
    yield lossy("wav-mp3-inside.wav", ffmpeg("-c:a", "libmp3lame", "-b:a", "192k"))
    yield decoded("w64.w64", ffmpeg())
    yield decoded("rf64.rf64", ffmpeg("-f", "wav", "-rf64", "always"))
    yield decoded("aiff.aiff", written(subtype="PCM_16"))
    yield decoded("aif-24.aif", written(format="AIFF", subtype="PCM_24"))
    yield decoded("aifc-float.aifc", written(format="AIFF", subtype="FLOAT"))
    yield coarse("aifc-alaw.aifc", written(format="AIFF", subtype="ALAW"))
    yield decoded("aifc-sowt.aifc", ffmpeg("-c:a", "pcm_s16le", "-f", "aiff"))
    yield decoded("au.au", written(subtype="PCM_16"))
    yield coarse("au-ulaw.au", written(subtype="ULAW"))
    yield decoded("snd.snd", tool("sox", "IN", "-b", "16", "-t", "au", "OUT"))
    yield decoded("au-to-pipe.au", to_pipe("-f", "au"))
    yield decoded("caf.caf", written(subtype="PCM_24"))
    yield decoded("caf-alac.caf", ffmpeg("-c:a", "alac"))
    yield coarse("caf-ulaw.caf", written(subtype="ULAW"))
    flac = ("flac", "-s", "-o", "OUT", "IN")
    yield decoded("flac.flac", tool(*flac, subtype="PCM_16"))
    yield decoded("flac-24.flac", written(subtype="PCM_24"))
    yield coarse("flac-8-bits.flac", written(subtype="PCM_S8"))
    yield decoded("flac-in-ogg.oga", tool(*flac, "--ogg", subtype="PCM_16"))
    yield decoded("wavpack.wv", ffmpeg())
    yield decoded("wavpack-float.wv", ffmpeg("-sample_fmt", "fltp"))
    yield decoded("tta.tta", ffmpeg())
    yield lossy("dsd.dsf", dsf)
    yield lossy("dsd.dff", dff)
    yield decoded("alac.m4a", ffmpeg("-c:a", "alac"))
    yield decoded("alac-24.alac", ffmpeg("-c:a", "alac", "-sample_fmt", "s32p", "-f", "ipod"))
    yield lossy("aac.m4a", ffmpeg("-c:a", "aac", "-b:a", "160k"))
    yield lossy("aac-faststart.m4a", AAC)
    yield coarse("aac-64.m4a", ffmpeg("-c:a", "aac", "-b:a", "64k"))
    fragments = ("-f", "mp4", "-movflags", "frag_keyframe+empty_moov")
    yield lossy("aac-fragments.mp4", to_pipe("-c:a", "aac", "-b:a", "160k", *fragments))
    yield lossy("book.m4b", AAC)
    yield lossy("aac.mp4", ffmpeg("-c:a", "aac", "-b:a", "192k"))
    yield lossy("mp3-inside.mp4", ffmpeg("-c:a", "libmp3lame", "-b:a", "192k"))
    yield lossy("video.m4v", ffmpeg(*PICTURE, "-c:a", "aac", "-b:a", "192k", "-f", "mp4"))
    yield decoded("video.mov", ffmpeg(*PICTURE, "-c:a", "pcm_s16le"))
    yield lossy("video.mkv", ffmpeg(*PICTURE, "-c:a", "libvorbis", "-q:a", "6"))
    yield lossy("video.webm", ffmpeg(*PICTURE, "-c:a", "libopus", "-b:a", "160k"))
    yield decoded("pcm.mov", ffmpeg("-c:a", "pcm_s24le"))
    yield lossy("phone.3gp", ffmpeg("-c:a", "aac", "-b:a", "160k"))
    yield lossy("aac.aac", ADTS)
    yield decoded("matroska-flac.mka", ffmpeg("-c:a", "flac"))
    yield decoded("matroska-pcm.mka", ffmpeg("-c:a", "pcm_s16le"))
    yield lossy("matroska-mp3.mka", ffmpeg("-c:a", "libmp3lame", "-b:a", "192k"))
    yield decoded("matroska-to-pipe.mka", to_pipe("-c:a", "flac", "-f", "matroska"))
    yield lossy("opus.webm", ffmpeg("-c:a", "libopus", "-b:a", "160k"))
    yield lossy("vorbis.webm", ffmpeg("-c:a", "libvorbis", "-q:a", "6"))
    yield lossy("opus-to-pipe.webm", to_pipe("-c:a", "libopus", "-b:a", "160k", "-f", "webm"))
    yield lossy("vorbis.ogg", VORBIS)
    yield lossy("vorbis-by-ffmpeg.oga", ffmpeg("-c:a", "libvorbis", "-q:a", "6"))
    yield lossy("opus-inside.ogg", ffmpeg("-c:a", "libopus", "-b:a", "160k"))
    yield coarse("speex.spx", ffmpeg("-ar", "32000", "-q:a", "10"))
    yield coarse("speex-inside.ogg", ffmpeg("-c:a", "libspeex", "-ar", "32000", "-q:a", "10"))
    yield lossy("wma2.wma", ffmpeg("-c:a", "wmav2", "-b:a", "192k"))
    # FFmpeg's encoder is poor, and its decoder leaves out the first 46 ms.
    yield coarse("wma1.wma", ffmpeg("-c:a", "wmav1", "-b:a", "192k"))
    yield lossy("layer2.mp2", ffmpeg("-b:a", "256k"))
    twolame = tool("twolame", "--quiet", "-b", "256", "IN", "OUT", subtype="PCM_16")
    yield lossy("layer2-twolame.mp2", twolame)
    yield lossy("dolby.ac3", ffmpeg("-b:a", "256k"))
    yield lossy("dolby.eac3", ffmpeg("-b:a", "256k"))
    yield lossy("dts.dts", ffmpeg("-c:a", "dca", "-b:a", "768k"))
    yield lossy("CAPITALS.MP3", MP3)


def _rates() -> Iterator[Case]:
    low, high = (8_000, 11_025, 16_000, 22_050, 24_000), (48_000, 88_200, 96_000, 176_400, 192_000)
    for rate in (*low, 32_000, *high):
        yield decoded(f"wav-{rate}.wav", written(), Sound(rate))
    for rate in (8_000, 96_000, 192_000):
        yield decoded(f"flac-{rate}.flac", written(), Sound(rate))
    for rate in (*low, 32_000, 48_000):
        bits = "64" if rate < 16_000 else "128"
        # At 16 kHz, lame filters off what musicnn hears highest.
        cosine = LOSSY if rate > 16_000 else COARSE
        yield decoded(f"mp3-{rate}.mp3", lame("-b", bits), Sound(rate), cosine=cosine)
    for rate in (8_000, 12_000, 16_000, 24_000):
        make = ffmpeg("-c:a", "libopus", "-b:a", "128k")
        yield lossy(f"opus-{rate}.opus", make, Sound(rate))
        yield lossy(f"opusenc-{rate}.opus", OPUS, Sound(rate))
    for rate in (44_100, 48_000):
        yield lossy(f"opusenc-{rate}.opus", OPUS, Sound(rate))
    yield coarse("aac-8000.m4a", ffmpeg("-c:a", "aac", "-b:a", "48k"), Sound(8_000))
    yield lossy("aac-96000.aac", ffmpeg("-c:a", "aac", "-b:a", "256k"), Sound(96_000))
    yield coarse("vorbis-8000.ogg", VORBIS, Sound(8_000))
    yield lossy("vorbis-96000.ogg", VORBIS, Sound(96_000))


def _channels() -> Iterator[Case]:
    for name, make, cosine in (
        ("wav", written(), LOSSLESS),
        ("mp3", MP3, LOSSY),
        ("ogg", VORBIS, LOSSY),
        ("opus", OPUS, LOSSY),
        ("m4a", AAC, LOSSY),
        ("flac", FLAC, LOSSLESS),
    ):
        yield decoded(f"mono.{name}", make, MONO, cosine=cosine)
    plain, many = ffmpeg(), ffmpeg("-b:a", "640k")
    vorbis = ffmpeg("-c:a", "libvorbis", "-q:a", "6")
    opus = ffmpeg("-c:a", "libopus", "-b:a", "512k")
    # FFmpeg takes four channels of no layout for a centre and a back one.
    quad = ("-af", "channelmap=0|1|2|3:quad")
    for layout, makers in {
        "quad": {
            "wav": ffmpeg(*quad),
            "flac": ffmpeg(*quad),
            "ogg": ffmpeg(*quad, "-c:a", "libvorbis", "-q:a", "6"),
            "opus": ffmpeg(*quad, "-c:a", "libopus", "-b:a", "400k"),
        },
        "5.1": {
            "wav": plain,
            "flac": plain,
            "wv": plain,
            "m4a": many,
            "ac3": many,
            "eac3": many,
            "dts": ffmpeg("-ar", "48000", "-b:a", "1536k"),
            "ogg": vorbis,
            "opus": opus,
        },
        "7.1": {"wav": plain, "flac": plain, "m4a": many, "opus": opus},
    }.items():
        for name, make in makers.items():
            cosine = LOSSLESS if name in ("wav", "flac", "wv") else LOSSY
            for kind, around in (("front", 0.0), ("all", 0.4)):
                sound = Sound(layout=layout, around=around)
                yield decoded(f"{layout}-{kind}.{name}", make, sound, cosine=cosine)


def _lengths() -> Iterator[Case]:
    """Files that state no length, guess it, or hold several pieces."""
    for name, change in (("start", quiet_start), ("end", quiet_end)):
        sound = Sound(change=change)
        yield lossy(f"vbr-quiet-{name}.mp3", LAME_VBR, sound)
        # Without the header, nothing says by how much the encoder delayed the music: 50 ms.
        make = lame("-V", "2", "-t")
        yield decoded(f"vbr-quiet-{name}-no-xing.mp3", make, sound, cosine=0.94)
    yield lossy("vbr-by-ffmpeg-no-xing.mp3", ffmpeg("-q:a", "2", "-write_xing", "0"))
    yield lossy("cbr-no-xing.mp3", BARE_MP3)
    other = Sound(seed=1)
    low, mono = Sound(22_050, seed=1), Sound(layout="mono", seed=1)
    high = Sound(48_000, seed=1)
    yield lossy("joined.mp3", joined(MP3), STEREO, other, notes=["longer-than-stated"])
    yield lossy("joined-no-xing.mp3", joined(BARE_MP3), STEREO, other, STEREO)
    yield lossy("joined-rates.mp3", joined(BARE_MP3), STEREO, low)
    yield lossy("joined-near-rates.mp3", joined(BARE_MP3), STEREO, high)
    yield lossy("joined-channels.mp3", joined(BARE_MP3), STEREO, mono)
    yield lossy("joined-tagged.mp3", joined(tagged(BARE_MP3, with_cover(5_000))), STEREO, other)
    yield lossy("joined.aac", joined(ADTS), STEREO, other)
    yield lossy("chained.ogg", joined(VORBIS), STEREO, other)
    yield lossy("chained-rates.ogg", joined(VORBIS), STEREO, low)
    yield lossy("chained-channels.ogg", joined(VORBIS), STEREO, mono)
    yield lossy("chained.opus", joined(OPUS), STEREO, other, STEREO)
    yield lossy("chained-rates.opus", joined(OPUS), STEREO, low)
    yield lossy("chained-channels.opus", joined(OPUS), STEREO, mono)
    yield decoded("to-pipe.flac", tool("flac", "-s", "-c", "IN", subtype="PCM_16"))
    yield decoded("to-pipe-by-ffmpeg.flac", to_pipe("-f", "flac"))
    yield decoded("to-pipe.wav", to_pipe("-f", "wav"))
    yield decoded("to-pipe-by-sox.wav", tool("sox", "IN", "-b", "16", "-t", "wav", "-"))
    yield decoded("size-0.wav", wav(stated=0))
    yield decoded("size-most.wav", wav(stated=0xFFFFFFFF))
    yield decoded("to-pipe.caf", to_pipe("-f", "caf", "-c:a", "pcm_s16be"))
    yield lossy("to-pipe.ogg", to_pipe("-f", "ogg", "-c:a", "libvorbis", "-q:a", "6"))
    yield lossy("to-pipe.mp3", to_pipe("-f", "mp3", "-b:a", "192k"))
    yield decoded("short.wav", written(), Sound(change=first(20_000)))
    yield coarse("short.mp3", MP3, Sound(change=first(20_000)))
    yield decoded("one-sample.wav", written(), Sound(change=first(1)), cosine=0)


def _around_the_music() -> Iterator[Case]:
    """Tags, covers, other chunks, junk, and names that say something else."""
    odd = b"LIST" + struct.pack("<I", 7) + b"INFOabc"
    yield decoded("odd-chunk.wav", wav(before=odd + b"\0"))
    yield decoded("odd-chunk-no-pad.wav", wav(before=odd), by_sound=True)
    yield decoded("odd-chunk-behind.wav", wav(after=odd))
    odd_sound = Sound(layout="mono", change=first(150_001))
    yield coarse("odd-samples.wav", wav(bits=8, after=odd), odd_sound)
    junk = b"junk" + struct.pack("<I", 200_000) + bytes(200_000)
    yield decoded("large-chunk.wav", wav(before=junk))
    yield decoded("trailing-junk.wav", wav(after=random_bytes(5_000)))
    for size in (100_000, 300_000):
        yield lossy(f"behind-zeros-{size}.mp3", then(MP3, behind(bytes(size))))
        yield lossy(f"behind-random-{size}.mp3", then(MP3, behind(random_bytes(size))))
    text = b"<html><body>not music at all</body></html>\n" * 5_000
    yield lossy("behind-text.mp3", then(MP3, behind(text[:200_000])))
    for size in (0, 10_000, 120_000, 700_000, 3_000_000):
        yield lossy(f"cover-{size}.mp3", tagged(MP3, with_cover(size)))
    yield lossy("id3v1.mp3", then(MP3, lambda c: c + b"TAG" + b"A title".ljust(125)))
    yield lossy("apev2.mp3", tagged(MP3, with_ape_tag))
    yield decoded("cover.flac", tagged(FLAC, with_flac_cover))
    id3 = b"ID3\x03\0\0\0\0\x0f\x76" + bytes(2038)
    yield decoded("id3.flac", then(FLAC, behind(id3)))
    yield decoded("id3.wav", wav(after=b"id3 " + struct.pack("<I", len(id3)) + id3))
    yield lossy("id3.aac", tagged(ADTS, with_cover(40_000)))
    yield lossy("an-mp3.wav", MP3)
    yield decoded("a-flac.mp3", FLAC)
    yield decoded("a-wav.flac", written(format="WAV"))
    yield lossy("an-m4a.mp3", AAC)
    yield lossy("an-ogg.m4a", VORBIS)
    yield lossy("a-wma.mp3", ffmpeg("-c:a", "wmav2", "-b:a", "192k", "-f", "asf"))


def _levels() -> Iterator[Case]:
    opposite = Sound(change=lambda s: s[:, :1] * np.float32([1, -1]), heard=(1.0, 0.0))
    nearly = Sound(change=lambda s: s[:, :1] * np.float32([1, -0.999]), heard=(1.0, 0.0))
    left = Sound(change=lambda s: s * np.float32([1, 0]), heard=(ONE_SIDE, 0.0))
    right = Sound(change=lambda s: s * np.float32([0, 1]), heard=(0.0, ONE_SIDE))
    for name, make, listen in (("wav", wav(), decoded), ("mp3", LAME_192, lossy)):
        yield listen(f"channels-cancel.{name}", make, opposite, notes=["channels-cancel"])
        yield listen(f"left-only.{name}", make, left, notes=["one-sided"])
    yield decoded("channels-cancel.flac", FLAC, opposite, notes=["channels-cancel"])
    yield decoded("channels-nearly-cancel.flac", FLAC, nearly, notes=["channels-cancel"])
    yield decoded("right-only.flac", FLAC, right, notes=["one-sided"])
    quiet, loud = Sound(change=louder(-60)), Sound(change=louder(18))
    yield decoded("minus-60-db.wav", FLOAT_WAV, quiet, notes=["quiet"])
    yield decoded("minus-60-db.flac", written(subtype="PCM_24"), quiet, notes=["quiet"])
    yield decoded("plus-18-db.wav", FLOAT_WAV, loud, notes=["over-full-scale"])
    yield decoded("plus-18-db.wv", FLOAT_WAVPACK, loud, notes=["over-full-scale"])
    silence = Sound(change=np.zeros_like)
    yield refused("silence.wav", written(), "silent", sound=silence)
    yield refused("silence.mp3", MP3, "silent", sound=silence)
    yield refused("nearly-silent.wav", FLOAT_WAV, "silent", sound=Sound(change=louder(-100)))
    nan, infinite = Sound(change=with_value(np.nan)), Sound(change=with_value(np.inf))
    yield refused("nan.wav", FLOAT_WAV, "not-finite", sound=nan)
    yield refused("nan.au", written(format="AU", subtype="FLOAT"), "not-finite", sound=nan)
    yield refused("infinite.wav", FLOAT_WAV, "not-finite", sound=infinite)


def _damage() -> Iterator[Case]:
    concealed = partial(decoded, cosine=0.9, notes=["concealed"])
    hole, frame = bytes(20_000), random_bytes(200)
    long, longer = Sound(times=4), Sound(times=16)
    # The first frames behind a hole lack what they borrow from those before, and clip.
    clipped = ["concealed", "over-full-scale"]
    yield concealed("hole.mp3", then(LAME_320, overwritten(0.5, hole)), longer, notes=clipped)
    yield concealed("bad-frame.mp3", then(LAME_320, overwritten(0.5, random_bytes(800))))
    yield concealed("bad-frame.flac", then(FLAC, overwritten(0.5, frame)), long)
    yield concealed("bad-frame.m4a", then(AAC, overwritten(0.6, frame)), long)
    cut = ("truncated", "damaged")
    yield refused("hole-in-short.mp3", then(MP3, overwritten(0.5, hole)), *cut)
    yield refused("much-damage.flac", then(FLAC, overwritten(0.3, random_bytes(100_000))), *cut)
    for name, make in (
        ("wav", wav()),
        ("flac", FLAC),
        ("m4a", AAC),
        ("aiff", written()),
        ("au", written()),
        ("caf", written()),
        ("w64", ffmpeg()),
        ("wv", ffmpeg()),
        ("tta", ffmpeg()),
        ("wma", ffmpeg("-b:a", "192k")),
        ("mka", ffmpeg("-c:a", "flac")),
        ("webm", ffmpeg("-c:a", "libopus")),
        ("dsf", dsf),
        ("dff", dff),
    ):
        yield refused(f"half.{name}", then(make, half), *cut)
    yield refused("half-with-xing.mp3", then(LAME_VBR, half), "truncated")
    yield refused("half-no-index.mp4", then(ffmpeg(), half), *UNREADABLE, "truncated")
    yield decoded("half.ogg", then(VORBIS, half), cosine=0, notes=["no-end"])
    yield decoded("half.opus", then(OPUS, half), cosine=0, notes=["no-end"])
    yield decoded("half-no-xing.mp3", then(BARE_MP3, half), cosine=0)
    yield decoded("half.aac", then(ADTS, half), cosine=0)
    yield decoded("half.ac3", then(ffmpeg("-b:a", "256k"), half), cosine=0)


def _lies() -> Iterator[Case]:
    yield refused("says-more.wav", wav(stated=40_000_000), "truncated")
    yield refused("says-more.flac", then(FLAC, flac_total(4_000_000)), "truncated")
    yield refused("says-more.mp3", then(LAME_VBR, xing_times(4)), "truncated")
    more = ["longer-than-stated"]
    yield lossy("says-less.mp3", then(LAME_VBR, xing_times(0.25)), notes=more)
    yield decoded("says-less.flac", then(FLAC, flac_total(44_100)), notes=more)
    for rate in (0, 1, 999, 1_000_000_000, 0xFFFFFFFF):
        yield refused(f"rate-{rate}.wav", wav(rate=rate), *UNREADABLE)
    for channels in (0, 200, 65_535):
        yield refused(f"channels-{channels}.wav", wav(channels=channels), *UNREADABLE)
    # Every frame of FLAC states the rate again; the header's makes the length absurd.
    yield decoded("rate-0.flac", then(FLAC, flac_rate(0)), by_sound=True)
    yield refused("rate-1.flac", then(FLAC, flac_rate(1)), "truncated", "too-long", *UNREADABLE)
    au = written(format="AU", subtype="PCM_16")
    yield refused("rate-0.au", then(au, patched(16, ">I", 0)), *UNREADABLE)
    yield refused("rate-minus-1.au", then(au, patched(16, ">i", -1)), *UNREADABLE)
    yield refused("channels-0.au", then(au, patched(20, ">I", 0)), *UNREADABLE)
    caf = written(format="CAF", subtype="PCM_16")
    yield refused("rate-0.caf", then(caf, patched(20, ">d", 0.0)), *UNREADABLE)
    yield refused("rate-nan.caf", then(caf, patched(20, ">d", float("nan"))), *UNREADABLE)
    yield refused("rate-huge.caf", then(caf, patched(20, ">d", 1e300)), *UNREADABLE)
    unheard = ("truncated", "damaged", "no-samples", *UNREADABLE)
    yield refused("rate-reserved.aac", then(ADTS, adts_reserved_rate), *unheard)
    yield refused("unknown-codec.wav", wav(tag=0x1234), "no-decoder")
    flac_unknown = then(ffmpeg("-c:a", "flac"), replaced(b"A_FLAC", b"A_XLAC"))
    yield refused("unknown-codec.mka", flac_unknown, "no-decoder")
    alac_unknown = then(ffmpeg("-c:a", "alac"), replaced(b"alac", b"zzzz"))
    yield refused("unknown-codec.mp4", alac_unknown, "no-decoder")


def _no_music() -> Iterator[Case]:
    nothing = Sound(change=first(0))
    yield refused("empty.mp3", of_bytes(b""), "empty")
    yield refused("empty.wav", of_bytes(b""), "empty")
    yield refused("one-byte.flac", of_bytes(b"f"), *UNREADABLE)
    yield refused("no-samples.wav", written(), "no-samples", sound=nothing)
    yield refused(
        "no-samples.flac", then(FLAC, lambda content: content[:42]), "no-samples", *UNREADABLE
    )
    yield refused("text.mp3", of_bytes(b"These are words and no music.\n" * 500), *UNREADABLE)
    yield refused("image.mp3", of_bytes(png()), *UNREADABLE)
    yield refused("zeros.mp3", of_bytes(bytes(100_000)), *UNREADABLE)
    yield refused("random.ogg", of_bytes(random_bytes(50_000)), *UNREADABLE)
    yield refused("playlist.mp3", of_bytes(b"#EXTM3U\n#EXTINF:4,\nflac.flac\n"), *UNREADABLE)
    yield refused("concat.mp3", of_bytes(b"ffconcat version 1.0\nfile flac.flac\n"), *UNREADABLE)
    yield refused("only-a-tag.mp3", of_bytes(b"ID3\x03\0\0\0\0\x0f\x76" + bytes(2038)), *UNREADABLE)
    yield refused("only-video.mp4", ffmpeg(*PICTURE, "-map", "0:v", "-t", "1"), "not-audio")
    yield refused("fifo.mp3", make_fifo, "not-a-file")


_GROUPS = (
    _kinds,
    _rates,
    _channels,
    _lengths,
    _around_the_music,
    _levels,
    _damage,
    _lies,
    _no_music,
)

CASES: tuple[Case, ...] = tuple(case for group in _GROUPS for case in group())


def build(
    folder: Path, cases: Sequence[Case] = CASES, seconds: float = SECONDS
) -> dict[str, Path | ToolMissingError]:
    """Make the files of some cases: the path of each by its name, or the tool it lacks."""

    def write(case: Case) -> Path | ToolMissingError:
        try:
            return case.write(folder, seconds)
        except ToolMissingError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((case.name for case in cases), pool.map(write, cases), strict=True))


def by_ffmpeg(path: Path) -> float:
    """Return how many seconds the command line of FFmpeg decodes."""
    rate = 48_000
    command = ["ffmpeg", "-v", "quiet", "-i", path, "-map", "0:a:0", "-ac", "1", "-ar", str(rate)]
    done = subprocess.run([*command, "-f", "s16le", "-"], stdout=subprocess.PIPE, check=False)
    return len(done.stdout) / 2 / rate
