import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from musicflow.embedders import spec_of, specs_for
from musicflow.evaluation import Comparison, Dataset, Row
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.results import NO_COLLECTION
from musicflow.index import EmbeddedIndex
from musicflow.library import AudioFile, join, no_progress, scan
from musicflow.orchestration import checks
from musicflow.orchestration.run import materialize
from musicflow.pipeline import health_of, plan_of
from musicflow.settings import Home, Settings
from musicflow.store import Embedding, EmbeddingStore
from musicflow_tests.evaluation.made_up import MEASURES, scores

GOOD = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)


def passed(results: object) -> dict[str, bool]:
    return {str(r.check_name): bool(r.passed) for r in results}  # type: ignore[attr-defined]


def vectors(values: np.ndarray) -> dict[str, bool]:
    spec = dataclasses.replace(spec_of("mfcc"), dim=8)
    return passed(checks.vectors(health_of(values), spec))


def test_good_vectors_pass() -> None:
    assert vectors(GOOD) == {"sound_vectors": True, "live_dimensions": True}
    assert vectors(GOOD[:1]) == {"sound_vectors": True, "live_dimensions": True}
    assert vectors(GOOD[:0]) == {"sound_vectors": True, "live_dimensions": True}


@pytest.mark.parametrize(
    "fault",
    [
        lambda v: np.where(np.arange(20)[:, None] == 3, np.nan, v),
        lambda v: np.where(np.arange(20)[:, None] == 3, np.inf, v),
        lambda v: np.where(np.arange(20)[:, None] == 3, 0.0, v),
        lambda v: np.ones_like(v) * np.arange(1, 21)[:, None],
        lambda v: np.where(np.arange(8) < 5, 1.0, v),
        lambda v: v[:, :7],
    ],
    ids=["nan", "inf", "no length", "all alike", "collapsed", "dims"],
)
def test_vectors_that_cannot_be_right_are_found(
    fault: Callable[[np.ndarray], np.ndarray],
) -> None:
    assert not vectors(fault(GOOD))["sound_vectors"]


def test_a_dimension_that_never_changes_is_told() -> None:
    dead = np.where(np.arange(8) == 2, 0.5, GOOD)
    assert vectors(dead) == {"sound_vectors": True, "live_dimensions": False}


def test_a_share_of_bad_files_warns_and_a_majority_is_an_error() -> None:
    good = [AudioFile(f"{number}.wav", 1, 1) for number in range(20)]
    bad = [dataclasses.replace(file, error="cut off") for file in good]
    assert checks.decodable(good).passed
    assert checks.decodable([*good, bad[0]]).passed
    few, most = checks.decodable([*good, *bad[:3]]), checks.decodable([*good[:3], *bad])
    assert (few.passed, few.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (most.passed, most.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert few.description == "20 of 23 files are usable"
    other = [dataclasses.replace(file, code="kind-not-read") for file in bad]
    assert checks.decodable([*good, *other]).description == "20 of 20 files are usable"


def test_a_library_that_lost_a_tenth_stops_the_collections_unless_a_person_asks() -> None:
    assert checks.not_shrunk(90, 100, by_hand=False).passed
    assert checks.not_shrunk(5, 0, by_hand=False).passed
    lost, asked = (checks.not_shrunk(89, 100, by_hand=by_hand) for by_hand in (False, True))
    assert (lost.passed, lost.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (asked.passed, asked.severity) == (False, dg.AssetCheckSeverity.WARN)
    said = {name: value.value for name, value in lost.metadata.items()}
    assert said["found"] == "89 tracks, 100 published"
    assert said["normal"] == "The library has at least 90% of the tracks that are published."
    assert str(said["what to do"]).startswith("Mount the disk that is missing.")
    [spec] = checks.specs("track_metadata", ["not_shrunk"])
    assert spec.blocking


def test_unknown_genres_and_labels_without_a_partner_are_told(music: Path, tmp_path: Path) -> None:
    library = join(music, scan(music, tmp_path / "known"))
    # So many tracks that the ten nearest say something.
    many = dataclasses.replace(library, tracks=3 * library.tracks)
    assert passed(checks.tracks(many)) == {
        "coverage": True,
        "labels_and_audio": True,
        "meaning": True,
    }
    for name in ("tones", "noises"):
        (music / "mp3").mkdir(exist_ok=True)
        (music / name).rename(music / "mp3" / name)
    (music / "labels.json").write_text('{"tracks": {"0": {"genre": {"S": ""}}, "gone": {}}}')
    for path in [*music.glob("mp3/noises/*"), *music.glob("mp3/tones/[2-5].wav")]:
        path.unlink()
    # Without a folder, nothing names its genre.
    (music / "mp3" / "tones" / "0.wav").rename(music / "mp3" / "0.wav")
    library = join(music, scan(music, tmp_path / "known"))
    coverage, labels, meaning = checks.tracks(library)
    assert not coverage.passed
    assert coverage.description == "50% of 2 tracks have a genre"
    assert not labels.passed
    assert labels.description == "1 labels without audio, 1 audio files without labels"
    assert not meaning.passed
    assert (meaning.description or "").startswith("1 of 2 tracks have the one genre tones; ")


def comparison(**values: float) -> Comparison:
    rows = tuple(
        Row(name, "embedder", "trained", 8, scores(precision_at_10=value), 0.5, spec_hash=name)
        for name, value in values.items()
    )
    dataset, protocol = Dataset("music", "f", 1, 0), Protocol("artist", 1, 0, 1)
    return Comparison(dataset, protocol, MEASURES, rows, (), (), "state", "now")


def test_scores_at_chance_and_sudden_falls_are_found() -> None:
    now = comparison(musicnn=0.8, mfcc=0.5)
    assert passed(checks.evaluation(now, None)) == {"above_chance": False, "no_sudden_fall": True}
    chance, fall = checks.evaluation(now, comparison(musicnn=0.9, mfcc=0.5))
    assert chance.description == "no better than chance: mfcc"
    assert not fall.passed
    assert fall.description == "precision@10 fell: musicnn by 0.100"
    assert passed(checks.evaluation(now, comparison(musicnn=0.82)))["no_sudden_fall"]


def test_fusions_and_tuned_spaces_are_no_embedders() -> None:
    now = comparison(musicnn=0.8, mfcc=0.7, fusion=0.4, tuned=0.4)
    kinds = ("embedder", "embedder", "fusion", "tuned")
    rows = [dataclasses.replace(r, kind=kind) for r, kind in zip(now.rows, kinds, strict=True)]
    now = dataclasses.replace(now, rows=tuple(rows))
    before = comparison(musicnn=0.8, mfcc=0.7, fusion=0.9, tuned=0.9)
    chance, fall = checks.evaluation(now, before)
    assert (chance.passed, chance.description) == (True, "2 above chance")
    assert (fall.passed, fall.description) == (True, "nothing fell")


def test_scores_of_another_protocol_are_no_fall() -> None:
    now, last = comparison(musicnn=0.5), comparison(musicnn=0.9)
    for change in ({"exclude": "none"}, {"drawn": 100}, {"relevance": "genres from the tags"}):
        other = dataclasses.replace(last.protocol, **change)  # type: ignore[arg-type]
        of_other = dataclasses.replace(last, protocol=other)
        assert passed(checks.evaluation(now, of_other))["no_sudden_fall"], change
    assert not passed(checks.evaluation(now, last))["no_sudden_fall"]


def test_a_red_check_stops_what_stands_on_it_and_nothing_else(
    music: Path, home: Home, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    copy = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    settings = Settings(
        library=music,
        embedders=("mfcc", "musicnn-untrained"),
        alert=f'{sys.executable} -c "{copy}"',
    )
    tracks, store = plan_of(settings).library.tracks, EmbeddingStore(home.embeddings)
    alike, good = specs_for(settings)
    store.add(alike, [Embedding(track.content_hash, np.ones(60, np.float32)) for track in tracks])
    random = np.random.default_rng(0).standard_normal((len(tracks), 200)).astype(np.float32)
    store.add(good, [Embedding(t.content_hash, v) for t, v in zip(tracks, random, strict=True)])
    failed = materialize(plan_of(settings), settings, lambda _: no_progress, print)
    assert failed.keys() == {"embeddings/mfcc"}
    assert EmbeddedIndex(home.collections).names() == ["musicnn-untrained"]
    comparison = Comparison.load(home.reports / "comparison.json")
    assert comparison is not None
    codes = {row.embedder: row.code for row in comparison.rows if row.kind == "embedder"}
    assert codes == {"mfcc": NO_COLLECTION, "musicnn-untrained": ""}
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        _evaluation, run = instance.get_runs()
        key = dg.AssetCheckKey(dg.AssetKey(["embeddings", "mfcc"]), "sound_vectors")
        record = instance.get_latest_asset_check_evaluation_record(key)
    assert record is not None
    assert record.event is not None
    found = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert found.description == "12 all alike, 60 dims of one value"
    alerted = json.loads(told.read_text())
    assert (alerted["run_id"], alerted["reasons"]) == (run.run_id, failed)
