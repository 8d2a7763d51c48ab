"""Known data sets, and how they are fetched from where their authors keep them.

Kaggle's are fetched by kagglehub, with the credentials that a user set up for it, the rest by
pooch. Nothing is fetched unless a person asks.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from musicflow import extras
from musicflow.errors import MusicflowError, words_of
from musicflow.library.layouts.gtzan import ARTISTS, SPLIT
from musicflow.settings import explain

Size = Literal["small", "medium", "large", "full"]

TIMEOUT_S = 60.0
"""How long a server may stay silent, in seconds."""

FAILED = "fetch-failed"


class FetchError(MusicflowError):
    """A data set that cannot be fetched."""

    code = FAILED


@dataclass(frozen=True)
class Source:
    """A part of a data set.

    Parameters
    ----------
    address
        Where a person finds it.
    megabytes
        What is downloaded.
    kaggle
        Its handle at Kaggle; empty if it is fetched from its address.
    digest
        What it must be, ``sha1:…``; empty if nobody published it.
    folder
        The folder that it is put into, below that of the data set.
    """

    address: str
    megabytes: float
    kaggle: str = ""
    digest: str = ""
    folder: str = ""

    @property
    def is_archive(self) -> bool:
        """Return whether it is to be unpacked."""
        return self.address.endswith(".zip")


@dataclass(frozen=True)
class DataSet:
    """A data set of music.

    Parameters
    ----------
    title
        What it is, in a line.
    licence
        Who may use it, as its page says.
    sources
        Its parts.
    """

    title: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def megabytes(self) -> float:
        """Return what is downloaded."""
        return sum(source.megabytes for source in self.sources)


def data_set(name: str, size: Size = "small") -> DataSet:
    """Return a known data set.

    Parameters
    ----------
    name
        One of `NAMES`.
    size
        The part of FMA.

    Raises
    ------
    FetchError
        If there is none of that name.
    """
    if name not in NAMES:
        raise FetchError(f"{name!r} is none of {', '.join(NAMES)}")
    if name != "fma":
        return _SETS[name]
    audio, megabytes, digest = _FMA[size]
    return DataSet(
        f"FMA {size}: {audio}",
        "each track under a Creative Commons licence of its own; metadata CC BY 4.0",
        (
            Source(f"{_FMA_HOME}/fma_metadata.zip", 358, digest=_FMA_METADATA),
            Source(f"{_FMA_HOME}/fma_{size}.zip", megabytes, digest=digest),
        ),
    )


def fetch(found: DataSet, folder: Path, told: Callable[[str], None]) -> None:
    """Fetch a data set into a folder. Parts that are there are not fetched again.

    Parameters
    ----------
    found
        The data set.
    folder
        The folder, which may be new.
    told
        Receives a line per part.

    Raises
    ------
    FetchError
        If a part cannot be fetched or is not what it should be; its advice is what to do by hand.
    MusicflowError
        If kagglehub is needed and not installed.
    """
    if any(source.kaggle for source in found.sources):
        extras.require("a data set of Kaggle", "fetch")
    for source in found.sources:
        target = folder / source.folder
        if _mark(target, source).exists():
            told(f"{source.address} is here already")
            continue
        told(f"fetching {source.address}")
        try:
            target.mkdir(parents=True, exist_ok=True)
            (_from_kaggle if source.kaggle else _from_web)(source, target)
            _mark(target, source).touch()
        except Exception as error:
            reason = explain(error) if isinstance(error, OSError) else words_of(error)
            raise FetchError(
                f"{source.address} could not be fetched: {reason}", _advice(source, target)
            ) from error


def _advice(source: Source, target: Path) -> str:
    key = ""
    if source.kaggle:
        key = "kagglehub needs a key of your own: see https://www.kaggle.com/settings. "
    verb = "unpack it" if source.is_archive or source.kaggle else "put it"
    return (
        f"{key}Without a network, download {source.address} elsewhere and {verb} into {target}; "
        "then `musicflow library check` says how it is read"
    )


def _mark(target: Path, source: Source) -> Path:
    """Return the empty file that says that a part came whole. Hidden files are not music."""
    name = source.kaggle.replace("/", "-") or source.address.rpartition("/")[2]
    return target / f".{name}.fetched"


def _from_kaggle(source: Source, target: Path) -> None:
    import kagglehub

    kagglehub.dataset_download(source.kaggle, output_dir=str(target))


def _from_web(source: Source, target: Path) -> None:
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT_S)
    # Beside its place, so that a download that breaks off is not taken for the part.
    part = target / ".part"
    path = Path(
        pooch.retrieve(
            source.address,
            source.digest or None,
            fname=source.address.rpartition("/")[2],
            path=part,
            downloader=downloader,
        )
    )
    if source.is_archive:
        shutil.unpack_archive(path, target)
    else:
        path.replace(target / path.name)
    shutil.rmtree(part)


NAMES = ("ludwig", "gtzan", "fma")
"""The data sets that can be fetched."""

_STURM = (
    "https://raw.githubusercontent.com/julianofoleiss/gtzan_sturm_filter_3folds_stratified/"
    "48aa11abb34e4ad4e263d201f582001170fdddc4"
)

_SPLIT = (
    "https://raw.githubusercontent.com/coreyker/dnn-mgr/"
    "bdad579ea6cb37b665ea6019fe1026a6ce20cbc7/gtzan"
)
_DIGESTS = {
    "train": "2b04966cef1486f1a7767b74271533fa23e220388db804a1937835e1fc4fa3fa",
    "valid": "f8fbee7c52397a0e0f3a91dc54fedecb2e27f5bdc9a9daeab8cb10d077e26956",
    "test": "09cafa6a89ce0a27f30ed250d56ecb4d03c22fffb5a693f96c7ae655ee02ac72",
}

_SETS = {
    "ludwig": DataSet(
        "Ludwig: about 11,300 tracks of 30 s in 9 genres, with moods and subgenres",
        "see its page at Kaggle",
        (
            Source(
                "https://www.kaggle.com/datasets/jorgeruizdev/"
                "ludwig-music-dataset-moods-and-subgenres",
                12_000,
                kaggle="jorgeruizdev/ludwig-music-dataset-moods-and-subgenres",
            ),
        ),
    ),
    "gtzan": DataSet(
        "GTZAN: 1,000 clips of 30 s in 10 genres, lists of their artists, and a split",
        "none is given; for research",
        (
            Source(
                "https://www.kaggle.com/datasets/andradaolteanu/"
                "gtzan-dataset-music-genre-classification",
                1_300,
                kaggle="andradaolteanu/gtzan-dataset-music-genre-classification",
            ),
            *(
                Source(f"{_STURM}/f{fold}_evaluate_groups.txt", 0.01, folder=f"Data/{ARTISTS}")
                for fold in (1, 2, 3)
            ),
            *(
                Source(
                    f"{_SPLIT}/{part}_filtered.txt",
                    0.01,
                    digest=f"sha256:{digest}",
                    folder=f"Data/{SPLIT}",
                )
                for part, digest in _DIGESTS.items()
            ),
        ),
    ),
}

_FMA_HOME = "https://os.unil.cloud.switch.ch/fma"
_FMA_METADATA = "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733"
_FMA: dict[Size, tuple[str, float, str]] = {
    "small": (
        "8,000 clips of 30 s in 8 genres",
        7_700,
        "sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
    ),
    "medium": (
        "25,000 clips of 30 s in 16 genres",
        23_600,
        "sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b",
    ),
    "large": (
        "106,574 clips of 30 s in 161 genres",
        99_900,
        "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e",
    ),
    "full": (
        "106,574 whole tracks in 161 genres",
        943_800,
        "sha1:0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab",
    ),
}
"""What each size of FMA holds, its megabytes, and the digest of its archive (FMA's README)."""
