"""Front ends told in TOML: from windows of audio to what a network takes.

Without a table ``[mel]`` the network takes the waveform. With one, a window holds the samples that
the frames of a patch need, so cutting windows is cutting patches.
"""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from musicflow.embedders.errors import EmbedderError

if TYPE_CHECKING:
    from torch import Tensor

READY = Path(__file__).with_name("front_ends")
"""Front ends that ship."""


class FrontEndError(EmbedderError):
    """A front end that is not there, not valid, or not that of its network."""

    code = "front-end"


class Mel(BaseModel):
    """A mel spectrogram, cut into patches.

    Parameters
    ----------
    n_fft, hop
        Samples per transform, and from one frame to the next.
    window_length
        Samples of the Hann window; those of a transform if not given.
    periodic
        Whether that window is periodic (librosa, torch) or symmetric (Essentia).
    bands, fmin, fmax
        Number of bands, and their limits in hertz; half the rate if not given.
    scale, norm
        The mel scale; how a band's weights are normalised (``sum``: they add up to 1).
    power
        2 for the power, 1 for the magnitude.
    half
        Whether the bands are rounded to float16.
    log, log_scale, log_offset, log_floor
        ``log(max(log_scale * x, log_floor) + log_offset)``; ``db`` is ten times ``log10``.
    mean, deviation
        Taken off in the end, and divided by.
    frames, frames_hop
        Frames per patch, and from one patch to the next; no overlap if not given.
    centred
        Whether half a transform of silence stands before and after a track.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_fft: int = Field(gt=0)
    hop: int = Field(gt=0)
    window_length: int | None = None
    periodic: bool = True
    bands: int = Field(gt=0)
    fmin: float = 0.0
    fmax: float | None = None
    scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "sum", "none"] = "slaney"
    power: float = Field(2.0, gt=0)
    half: bool = False
    log: Literal["ln", "log10", "db", "none"] = "log10"
    log_scale: float = 1.0
    log_offset: float = 0.0
    log_floor: float = 0.0
    mean: float = 0.0
    deviation: float = 1.0
    frames: int = Field(gt=0)
    frames_hop: int | None = None
    centred: bool = True


class FrontEnd(BaseModel):
    """All that a network's file does not say.

    Parameters
    ----------
    sample_rate
        In hertz.
    dim
        Length of a vector. The network's output of that length is read, if `output` names none.
    window_s, hop_s
        Seconds per window, and from one to the next, of a network that takes the waveform.
    tail
        See `EmbedderSpec`.
    input, output
        Names in the network; its first input, and see `dim`.
    layout
        The axes of the input: ``B`` windows, ``T`` frames, ``F`` bands, ``N`` samples, ``1``.
    batch
        The number of windows that the network takes at once; 0 for any.
    licence, trained_on
        Of the weights.
    mel
        The spectrogram; None for the waveform.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rate: int = Field(gt=0)
    dim: int = Field(gt=0)
    window_s: float | None = Field(None, gt=0)
    hop_s: float | None = Field(None, gt=0)
    tail: Literal["drop", "pad", "keep"] = "pad"
    input: str = ""
    output: str = ""
    layout: Literal["BTF", "BFT", "B1TF", "B1FT", "BN", "B1N", ""] = ""
    batch: int = Field(0, ge=0)
    licence: str = "unknown"
    trained_on: str = "unknown"
    mel: Mel | None = None

    @model_validator(mode="after")
    def _one_window(self) -> "FrontEnd":
        if (self.mel is None) == (self.window_s is None):
            raise ValueError(
                "give window_s for a waveform, or the table [mel], whose frames say it"
            )
        return self

    @property
    def timing(self) -> dict[str, Any]:
        """Return window, hop and silence as fields of a spec."""
        if self.mel is None:
            assert self.window_s is not None
            return {"window_s": self.window_s, "hop_s": self.hop_s or self.window_s}
        mel = self.mel
        samples = (mel.frames - 1) * mel.hop + mel.n_fft
        pad_s = mel.n_fft / 2 / self.sample_rate if mel.centred else 0.0
        return {
            "window_s": samples / self.sample_rate,
            "hop_s": (mel.frames_hop or mel.frames) * mel.hop / self.sample_rate,
            "pad_s": (pad_s, pad_s),
        }

    def __call__(self, windows: "Tensor") -> "Tensor":
        """Return what the network takes, in its layout, from windows of shape ``(B, n)``."""
        if self.mel is None:
            return windows[:, None] if self.layout == "B1N" else windows
        patches = log_mel(windows, self.mel, self.sample_rate)
        if self.layout.endswith("FT"):
            patches = patches.transpose(1, 2)
        return (patches[:, None] if self.layout.startswith("B1") else patches).contiguous()


def log_mel(windows: "Tensor", mel: Mel, sample_rate: int) -> "Tensor":
    """Return patches of shape ``(B, frames, bands)`` from windows of shape ``(B, n)``."""
    import torch
    from torchaudio.functional import melscale_fbanks

    length = mel.window_length or mel.n_fft
    window = torch.hann_window(length, periodic=mel.periodic, device=windows.device)
    spectrum = torch.stft(
        windows, mel.n_fft, mel.hop, length, window, center=False, return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    if mel.power != 2:
        power = power.pow(mel.power / 2)
    bank = melscale_fbanks(
        mel.n_fft // 2 + 1,
        mel.fmin,
        mel.fmax or sample_rate / 2,
        mel.bands,
        sample_rate,
        norm="slaney" if mel.norm == "slaney" else None,
        mel_scale=mel.scale,
    ).to(windows.device)
    if mel.norm == "sum":
        bank = bank / bank.sum(dim=0, keepdim=True).clamp_min(1e-12)
    bands = power.transpose(1, 2) @ bank
    if mel.half:
        bands = bands.half().float()
    if mel.log != "none":
        bands = (mel.log_scale * bands).clamp_min(mel.log_floor) + mel.log_offset
        bands = bands.log() if mel.log == "ln" else bands.log10() * (10 if mel.log == "db" else 1)
    return (bands - mel.mean) / mel.deviation


def read(path: Path) -> FrontEnd:
    """Read a front end; ``front_end = "discogs-effnet"`` takes one that ships, and may change it.

    Raises
    ------
    FrontEndError
        If it cannot be read, or is not valid.
    """
    ready = sorted(file.stem for file in READY.glob("*.toml"))
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        if (base := told.pop("front_end", "")) and base not in ready:
            raise ValueError(f"front_end: there is no {base!r}, but {', '.join(ready)}")
        if base:
            given = tomllib.loads((READY / f"{base}.toml").read_text("utf-8"))
            mel = {**given.get("mel", {}), **told.get("mel", {})}
            told = given | told | ({"mel": mel} if mel else {})
        return FrontEnd.model_validate(told)
    except FileNotFoundError as error:
        raise FrontEndError(
            f"the front end {path} is not there",
            f'write it (docs/models.md), or one line: front_end = "{ready[0]}"',
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise EmbedderError(
            f"the front end {path} is not valid, {what}", "", "front-end"
        ) from error
    except (OSError, ValueError) as error:
        raise EmbedderError(
            f"the front end {path} is not valid, {error}", "", "front-end"
        ) from error
