import numpy as np
import pytest

from musicflow.index import Collection
from musicflow.search.errors import QueryError
from musicflow.search.path import path
from musicflow_tests.search.conftest import VECTORS


def test_a_path_comes_ever_nearer_to_its_end(embedded: Collection) -> None:
    hits = path(embedded, "t1", "t2", 3)
    ids = [hit.track_id for hit in hits]
    assert len(hits) == 5
    assert (ids[0], ids[-1]) == ("t1", "t2")
    assert len(set(ids)) == 5
    vectors = embedded.vectors(ids)
    assert hits[2].score == pytest.approx(float(vectors[1] @ vectors[2]))
    balance = vectors @ (VECTORS[2] - VECTORS[1])
    assert (np.diff(balance) > 0).all()


def test_a_path_to_itself_or_of_no_steps_is_refused(embedded: Collection) -> None:
    with pytest.raises(QueryError, match="itself"):
        path(embedded, "t1", "t1", 3)
    with pytest.raises(QueryError, match="at least 1"):
        path(embedded, "t1", "t2", 0)
