import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from musicflow.orchestration import run
from musicflow.orchestration.resources import INDEX
from musicflow.orchestration.waiting import hear_interrupts


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


@contextmanager
def ctrl_c(seconds: float) -> Iterator[None]:
    main = threading.main_thread().ident
    timer = threading.Timer(seconds, signal.pthread_kill, [main, signal.SIGINT])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def test_a_step_that_waits_for_a_place_hears_ctrl_c_and_keeps_no_core_busy(
    instance: dg.DagsterInstance,
) -> None:
    @dg.op(pool=INDEX)
    def publish() -> None:
        raise AssertionError("there is no place")

    @dg.job
    def job() -> None:
        publish()

    hear_interrupts()
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    assert claims(storage, "one")
    start, busy = time.monotonic(), time.process_time()
    with ctrl_c(3.0):
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert time.monotonic() - start < 20
    assert time.process_time() - busy < 2.5
    assert not result.success
    with pytest.raises(KeyboardInterrupt):
        run._failed(result)
    assert storage.get_concurrency_info(INDEX).pending_step_count == 0


def test_a_step_that_waits_to_be_tried_again_hears_ctrl_c(instance: dg.DagsterInstance) -> None:
    @dg.op
    def read() -> None:
        raise dg.RetryRequested(seconds_to_wait=60)

    @dg.job
    def job() -> None:
        read()

    hear_interrupts()
    start = time.monotonic()
    with ctrl_c(2.0):
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert time.monotonic() - start < 30
    with pytest.raises(KeyboardInterrupt):
        run._failed(result)


def test_a_run_that_fails_between_its_steps_is_no_success(instance: dg.DagsterInstance) -> None:
    @dg.resource
    def broken() -> None:
        raise ValueError("no settings")

    @dg.op(required_resource_keys={"broken"})
    def read() -> None:
        pass

    @dg.job(resource_defs={"broken": broken})
    def job() -> None:
        read()

    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert run._failed(result).keys() == {"run"}
