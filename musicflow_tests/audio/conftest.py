"""What the tests of audio share."""

import pytest

from musicflow import embedders
from musicflow.embedders import Embedder, WeightsError
from musicflow.settings import Settings


@pytest.fixture(scope="module")
def musicnn() -> Embedder:
    try:
        return embedders.load(embedders.spec_of("musicnn"), Settings().cache)
    except WeightsError as error:
        pytest.skip(f"musicnn's weights cannot be had: {error}")
