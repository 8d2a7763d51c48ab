"""What there is to choose from: the embedders that ship or are installed, and known ones outside.

The known ones are data, ``known.toml``, with the source of each fact beside it. So are published
figures of embedders that ship, ``published.toml``.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicflow import embedders
from musicflow.embedders.spec import EmbedderSpec

_KNOWN = Path(__file__).with_name("known.toml")
_PUBLISHED = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """A published accuracy in genre classification on GTZAN.

    Parameters
    ----------
    embedder
        The name of an embedder that ships.
    accuracy
        In %.
    benchmark
        Its short name.
    setup
        The classifier and the split.
    source
        Where the figure was read.
    differs
        How the embedder that was measured is another than ours; empty if it is not.
    """

    embedder: str
    accuracy: float
    benchmark: str
    setup: str
    source: str
    differs: str = ""


@dataclass(frozen=True)
class Offer:
    """An embedder to choose.

    Parameters
    ----------
    name
        Its name; of a known one outside, a fair alias.
    kind
        ``here``: it ships or is installed. ``named``: the settings name it by its address.
        ``known``: one outside.
    address
        Where it is found; empty for one that is found by its name.
    dim, sample_rate, window_s
        Dimensions, hertz, and seconds.
    size
        Of its weights, as their source gives it.
    licence
        Of its weights (SPDX identifier).
    genre
        A published figure for genres, with its setup; empty if none.
    install
        What it takes; empty if nothing.
    source, licence_source
        Where the facts and the licence were read.
    tried
        Whether its trained weights were tried by those who maintain musicflow.
    text
        Whether it takes words as queries.
    error
        Why it cannot be used; empty if it can.
    """

    name: str
    kind: str
    address: str
    dim: int
    sample_rate: int
    window_s: float
    size: str = ""
    licence: str = ""
    genre: str = ""
    install: str = ""
    source: str = ""
    licence_source: str = ""
    tried: bool = False
    text: bool = False
    error: str = ""

    @property
    def is_commercial(self) -> bool | None:
        """Return whether its licence allows commercial use; None if nobody knows."""
        if self.licence == "unknown":
            return None
        return not is_non_commercial(self.licence)


def marked(licence: str) -> str:
    """Return a licence, with a star if it rules commercial use out."""
    return f"{licence} *" if is_non_commercial(licence) else licence


def is_non_commercial(licence: str) -> bool:
    """Return whether a licence (SPDX identifier), or one of several, rules commercial use out."""
    return "NC" in re.split(r"[-, ]", licence.upper())


_TRIED = {"musicnn", "mfcc"}


def offers(specs: Sequence[EmbedderSpec] = ()) -> list[Offer]:
    """Return all there is to choose from: what is here, then what is known outside.

    Parameters
    ----------
    specs
        Those that the settings name.
    """
    here = [embedders.spec_or_stand_in(name) for name in embedders.names()]
    shown = {spec.label for spec in here}
    named = [spec for spec in specs if spec.address and spec.label not in shown]
    return [
        *(_of_spec(spec, "here") for spec in here),
        *(_of_spec(spec, "named") for spec in named),
        *known(),
    ]


def known() -> list[Offer]:
    """Return the known models outside."""
    table = tomllib.loads(_KNOWN.read_text("utf-8"))
    return [Offer(name=name, kind="known", **facts) for name, facts in table.items()]


def published() -> list[Published]:
    """Return the published figures of the embedders that ship."""
    table = tomllib.loads(_PUBLISHED.read_text("utf-8"))
    return [
        Published(
            **{"setup": table["setups"][figure["benchmark"]]} | figure,
            source=table["sources"][figure["benchmark"]],
        )
        for figure in table["figures"]
    ]


def _of_spec(spec: EmbedderSpec, kind: str) -> Offer:
    size = spec.weights.size if spec.weights else None
    broken = spec.dim == 0
    return Offer(
        name=spec.label,
        kind=kind,
        address=spec.address,
        dim=spec.dim,
        sample_rate=spec.sample_rate,
        window_s=spec.window_s,
        size=f"{size / 1e6:.0f} MB" if size else "",
        licence=spec.licence,
        install=spec.install,
        tried=spec.name in _TRIED,
        text=spec.text,
        error=spec.summary if broken else "",
    )
