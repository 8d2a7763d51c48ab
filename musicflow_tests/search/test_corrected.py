"""Search with hubness corrected, against slow versions of the definitions."""

from pathlib import Path

import numpy as np
import pytest

from musicflow.index import Collection
from musicflow.index.hubness import CORRECTIONS, Correction, Kept, crowd_of, sample_of
from musicflow.search.corrected import BY_COSINE, NO_CROWD, corrected
from musicflow.search.errors import QueryError
from musicflow.search.query import similar_to_track, similar_to_vector
from musicflow.search.recommend import recommend
from musicflow.settings import Home, Settings
from musicflow_tests.evaluation.test_corrections import slow_scores
from musicflow_tests.search.conftest import COUNT, VECTORS

IDS = [f"t{row}" for row in range(COUNT)]


def keep(folder: Path, known: int = COUNT, spec_hash: str = "hash") -> None:
    """Keep what an evaluation finds of the first tracks."""
    cosines = VECTORS.astype(float) @ VECTORS.T.astype(float)
    np.fill_diagonal(cosines, -1)
    crowd = crowd_of(VECTORS, np.sort(cosines)[:, -10:].mean(axis=1))
    sample, rows = VECTORS[sample_of(COUNT)], np.arange(known)
    Kept(np.array(IDS[:known]), crowd.of(rows), sample, spec_hash).save(folder, "toy")


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("known", [COUNT, COUNT - 5])
def test_answers_are_those_of_the_definition_and_new_tracks_are_judged_alike(
    embedded: Collection, home: Home, correction: Correction, known: int
) -> None:
    keep(home.neighbours, known)
    scores = slow_scores(VECTORS, correction)
    collection = corrected(embedded, correction, Settings(home=home.root))
    for row in (0, 59):
        best = sorted(set(range(COUNT)) - {row}, key=lambda other, row=row: -scores[row][other])[:8]
        hits = similar_to_track(collection, f"t{row}", 8)
        assert [hit.track_id for hit in hits] == [f"t{other}" for other in best]
        wanted = [scores[row][other] for other in best]
        assert [hit.score for hit in hits] == pytest.approx(wanted, abs=1e-5)
        from_outside = similar_to_vector(collection, VECTORS[row], 9)
        assert [hit.track_id for hit in from_outside if hit.track_id != f"t{row}"] == [
            hit.track_id for hit in hits
        ]
        # A single like asks what a search asks.
        liked = recommend(collection, [f"t{row}"], k=3)
        assert [hit.track_id for hit in liked] == [f"t{other}" for other in best[:3]]


def test_what_no_evaluation_measured_and_other_strategies_are_refused(
    embedded: Collection, home: Home
) -> None:
    settings = Settings(home=home.root)
    for spec_hash in ("", "of another version"):
        if spec_hash:
            keep(home.neighbours, spec_hash=spec_hash)
        with pytest.raises(QueryError) as refused:
            corrected(embedded, "csls", settings)
        assert refused.value.code == NO_CROWD
    keep(home.neighbours)
    with pytest.raises(QueryError) as refused:
        recommend(corrected(embedded, "csls", settings), ["t1"], strategy="best-score")
    assert refused.value.code == BY_COSINE
