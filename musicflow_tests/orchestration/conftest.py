"""What tests of Dagster share: an instance of its own for each, as `musicflow init` makes it."""

from collections.abc import Iterator

import dagster as dg
import pytest

from musicflow.orchestration.run import prepare_dagster
from musicflow.settings import Home


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    prepare_dagster(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance
