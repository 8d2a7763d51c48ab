"""The checks of each asset, run in the step that makes it.

A blocking check that fails stops the assets that follow, so that no faulty vectors are published.
All others only report: one bad file never stops a library.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import numpy as np

from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import Comparison
from musicflow.evaluation.metrics import MAIN
from musicflow.index import Collection
from musicflow.library import UNKNOWN, AudioFile, Library, doubts
from musicflow.library.problems import AUDIO_WITHOUT_LABELS, LABELS_WITHOUT_AUDIO
from musicflow.pipeline import Health, has_shrunk
from musicflow.pipeline.publish import LOST_SHARE

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

SOUND_SHARE = 0.95
"""A smaller share of usable files is a warning; less than half is an error."""

KNOWN_SHARE = 0.9
"""The least share of tracks with a genre. The evaluation leaves out tracks without one."""

DEAD_SHARE = 0.1
"""The largest share of dimensions with one value for all tracks."""

FALL = 0.05
"""The largest fall of precision at 10 from one evaluation to the next."""

LIBRARY = ("decodable",)
TRACKS = ("coverage", "labels_and_audio", "meaning", "not_shrunk")
BLOCKING = "sound_vectors"
"""The check of vectors that keeps faulty ones from being published."""

VECTORS = (BLOCKING, "live_dimensions")
COLLECTION = ("counts_agree",)
EVALUATION = ("above_chance", "no_sudden_fall")


@dataclass(frozen=True)
class Check:
    """What a check holds to be normal, and what a person can do where it is not so."""

    normal: str
    remedy: str
    blocking: bool = False


_CHECKS = {
    "decodable": Check(
        f"At least {SOUND_SHARE:.0%} of the library's files can be decoded.",
        "See the failures of each partition. Replace the files, or leave them out with `ignore`.",
    ),
    "coverage": Check(
        f"At least {KNOWN_SHARE:.0%} of the tracks have a genre.",
        "Say where genres come from with the setting `genre`: tag, folder, or a table.",
    ),
    "meaning": Check(
        "A comparison by the library's genres means something.",
        "Give the tracks genres that tell them apart, by tags, folders or a table.",
    ),
    "labels_and_audio": Check(
        "Every label has an audio file, and every audio file has labels.",
        "See the problems of track_metadata, and complete the labels or the files.",
    ),
    "not_shrunk": Check(
        f"The library has at least {1 - LOST_SHARE:.0%} of the tracks that are published.",
        "Mount the disk that is missing. If the tracks are gone for good, materialize the "
        "collections by hand, or run `musicflow run`.",
        blocking=True,
    ),
    "sound_vectors": Check(
        "All vectors are finite, nonzero and of the right dims, and they differ.",
        "Verify the weights with `musicflow weights verify`, and embed again on another device or "
        "with `precision = fp32`.",
        blocking=True,
    ),
    "live_dimensions": Check(
        f"At least {1 - DEAD_SHARE:.0%} of the dimensions differ between tracks.",
        "Few tracks, or tracks that are alike, may be the reason. If not, verify the weights with "
        "`musicflow weights verify`.",
    ),
    "counts_agree": Check(
        "The collection holds each track that has a vector, and no other.",
        "Materialize the collection again. If it stays so, a second program writes it.",
        blocking=True,
    ),
    "above_chance": Check(
        "Each trained embedder's precision@10 is above chance.",
        "Look at the genres first: if they mean something, do not use the embedder here.",
    ),
    "no_sudden_fall": Check(
        f"No embedder's precision@10 fell by more than {FALL}.",
        "Compare both evaluations in MLflow: tracks, labels or weights changed.",
    ),
}


def specs(asset: str | Sequence[str], names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """Return the checks to declare on an asset."""
    return [
        dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey(asset),
            blocking=_CHECKS[name].blocking,
            description=f"{_CHECKS[name].normal} If not: {_CHECKS[name].remedy}",
        )
        for name in names
    ]


def decodable(files: Sequence[AudioFile]) -> dg.AssetCheckResult:
    """Check how many files of all known partitions can be used."""
    files = [file for file in files if not file.is_skipped]
    usable = sum(not file.error for file in files)
    share = usable / max(len(files), 1)
    return _result(
        "decodable",
        share >= SOUND_SHARE,
        f"{usable} of {len(files)} files are usable",
        ERROR if share < 0.5 else WARN,
        {"share": round(share, 4)},
    )


def tracks(library: Library) -> Iterable[dg.AssetCheckResult]:
    """Check `coverage`, `labels_and_audio` and `meaning`."""
    total = len(library.tracks)
    shares = {
        field: round(sum(getattr(t, field) != UNKNOWN for t in library.tracks) / total, 4)
        for field in ("genre", "artist", "name", "album")
    }
    text = f"{shares['genre']:.0%} of {total} tracks have a genre"
    yield _result("coverage", shares["genre"] >= KNOWN_SHARE, text, WARN, shares)
    codes = Counter(problem.code for problem in library.problems)
    mute, bare = codes[LABELS_WITHOUT_AUDIO], codes[AUDIO_WITHOUT_LABELS]
    text = f"{mute} labels without audio, {bare} audio files without labels"
    yield _result("labels_and_audio", not mute + bare, text, WARN, {"mute": mute, "bare": bare})
    found = doubts(library)
    text = "; ".join(map(str, found)) or "nothing is odd"
    yield _result("meaning", not found, text, WARN)


def not_shrunk(tracks: int, published: int, by_hand: bool) -> dg.AssetCheckResult:
    """Check that no disk went missing: it must not empty the collections.

    Parameters
    ----------
    tracks, published
        The tracks of the library, and of its largest collection.
    by_hand
        Whether a person runs the command line, which asked already: nothing is stopped then.
    """
    shrunk = has_shrunk(tracks, published)
    text = f"{tracks} tracks, {published} published"
    return _result("not_shrunk", not shrunk, text, WARN if by_hand else ERROR)


def vectors(health: Health, spec: EmbedderSpec) -> Iterable[dg.AssetCheckResult]:
    """Check `sound_vectors` and `live_dimensions`, on the partitions of this run."""
    faults = [
        f"{count} {what}"
        for count, what in [
            (health.not_finite, "not finite"),
            (health.without_length, "without a length"),
            (health.vectors if health.dim != spec.dim else 0, f"of {health.dim} dims"),
            (health.vectors if health.all_alike else 0, "all alike"),
            (health.dead_dims if health.dead_dims > health.dim / 2 else 0, "dims of one value"),
        ]
        if count
    ]
    text = ", ".join(faults) or f"{health.vectors} vectors are sound"
    yield _result("sound_vectors", not faults, text, ERROR, {"spread": health.spread})
    text = f"{health.dead_dims} of {health.dim} dimensions have one value for all tracks"
    alive = health.dead_dims <= DEAD_SHARE * health.dim
    yield _result("live_dimensions", alive, text, WARN, {"dead": health.dead_dims})


def counts_agree(collection: Collection, with_vector: int) -> dg.AssetCheckResult:
    """Check that the engine, the manifest and the store count the same tracks."""
    counted, published = collection.count(), collection.manifest.count
    text = f"{with_vector} tracks with a vector, {published} published, {counted} counted"
    return _result("counts_agree", counted == published == with_vector, text, ERROR)


def evaluation(now: Comparison, last: Comparison | None) -> Iterable[dg.AssetCheckResult]:
    """Check `above_chance` and `no_sudden_fall`, both of embedders alone."""
    embedders = [row for row in now.rows if row.kind == "embedder" and MAIN in row.scores]
    scores = {
        row.embedder: (row.scores[MAIN].value, row.chance) for row in embedders if row.meaningful
    }
    low = [name for name, (score, chance) in scores.items() if chance and score <= chance]
    text = f"no better than chance: {', '.join(low)}" if low else f"{len(scores)} above chance"
    yield _result("above_chance", not low, text, ERROR)
    # Scores of different protocols cannot be compared.
    rows = last.rows if last and last.protocol.terms == now.protocol.terms else ()
    before = {(row.embedder, row.spec_hash): row.value(MAIN) for row in rows}
    falls = {
        row.embedder: round(old - new, 4)
        for row in embedders
        if (new := row.value(MAIN)) is not None
        and (old := before.get((row.embedder, row.spec_hash))) is not None
        and old - new > FALL
    }
    text = ", ".join(f"{name} by {fall:.3f}" for name, fall in falls.items())
    text = f"precision@10 fell: {text}" if falls else "nothing fell"
    yield _result("no_sudden_fall", not falls, text, ERROR, falls)


def _result(
    name: str,
    passed: bool | np.bool_,
    text: str,
    severity: dg.AssetCheckSeverity,
    numbers: Mapping[str, float | int] = {},
) -> dg.AssetCheckResult:
    check = _CHECKS[name]
    return dg.AssetCheckResult(
        check_name=name,
        passed=bool(passed),
        severity=severity,
        description=text,
        metadata={
            "found": text,
            "normal": check.normal,
            "what to do": "nothing" if passed else check.remedy,
            **numbers,
        },
    )
