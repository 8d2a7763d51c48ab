"""What tests of Dagster share: an instance of its own for each, as `musicflow init` makes it."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.storage.defs_state.base import DefsStateStorage, set_defs_state_storage

from musicflow.orchestration.run import prepare_dagster
from musicflow.settings import Home


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    """No test sees the storage of an instance that another left open, and that is gone."""
    with set_defs_state_storage(None):
        yield
        assert DefsStateStorage.get() is None, "a context was left open"


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    prepare_dagster(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance
