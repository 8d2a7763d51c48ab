import errno

import dagster as dg
import pytest

from musicflow.library import LibraryChangingError, LibraryError
from musicflow.orchestration import failures
from musicflow.orchestration.failures import explained
from musicflow.worker import WorkerError


def tries(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run an asset that always fails so; tells how often it was tried, and what is said."""
    monkeypatch.setattr(failures, "WAIT_S", 0)
    calls = []

    @dg.asset
    @explained()
    def asset() -> None:
        calls.append(1)
        raise error

    result = dg.materialize([asset], raise_on_error=False)
    [event] = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    return len(calls), str(data.description) if data else ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LibraryError("there is no folder"), "there is no folder"),
        (WorkerError("it was killed"), "it was killed"),
        (OSError(errno.ENOSPC, "No space left", "x.parquet"), "x.parquet: the disk is full"),
        (ValueError("a mistake"), "ValueError: a mistake"),
    ],
    ids=["library", "process", "disk full", "mistake"],
)
def test_what_stays_as_it_is_is_not_tried_again(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, text = tries(error, monkeypatch)
    assert count == 1
    assert text.startswith(said)


@pytest.mark.parametrize(
    "error",
    [LibraryChangingError("it vanished"), OSError(errno.EIO, "I/O error"), ConnectionError("no")],
    ids=["vanished", "input and output", "connection"],
)
def test_what_may_pass_is_tried_three_times(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, text = tries(error, monkeypatch)
    assert count == 3
    assert text


def test_a_cancelled_run_ends_at_once_and_starts_no_other_step() -> None:
    calls = []

    @dg.asset
    @explained()
    def first() -> None:
        calls.append("first")
        raise KeyboardInterrupt

    @dg.asset
    @explained()
    def second() -> None:
        calls.append("second")

    with pytest.raises(KeyboardInterrupt):
        dg.materialize([first, second])
    assert len(calls) == 1 or calls == ["second", "first"]
