"""Audio files: their content, and their samples as float32 mono at a wanted rate.

FFmpeg (through PyAV) reads every kind of file, so that one decoder's facts go with one decoder's
samples. This is the only place where channels are mixed and rates are changed.
"""

from musicflow.audio.container import AUDIO_SUFFIXES, AudioInfo, examine
from musicflow.audio.decoding import Decoding, Limits, decode, stream
from musicflow.audio.errors import AudioError, Note
from musicflow.audio.excerpts import Excerpts, Span
from musicflow.audio.samples import as_mono

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioError",
    "AudioInfo",
    "Decoding",
    "Excerpts",
    "Limits",
    "Note",
    "Span",
    "as_mono",
    "decode",
    "examine",
    "stream",
]
