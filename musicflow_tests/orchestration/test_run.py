import time

import dagster as dg
import pytest
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from musicflow.orchestration import run
from musicflow.orchestration.resources import INDEX


def claims(storage: SqlEventLogStorage, name: str) -> bool:
    return storage.claim_concurrency_slot(INDEX, name, "a step").is_claimed


def test_a_step_that_was_overlooked_when_a_place_became_free_gets_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    assert claims(storage, "one")
    # What another process does that saw the place taken; then it becomes free, before it waits.
    storage.free_concurrency_slots_for_run("one")
    storage.add_pending_step(INDEX, "other", "a step", should_assign=False)
    assert not claims(storage, "other")
    monkeypatch.setattr(run, "_LOOK_S", 0.05)
    with run._handing_out_places(instance):
        end = time.monotonic() + 10
        while not claims(storage, "other"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert not claims(storage, "third"), "there is but one place"
        time.sleep(0.3)
        assert not claims(storage, "third")
