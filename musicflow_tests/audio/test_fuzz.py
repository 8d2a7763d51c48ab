from pathlib import Path

import pytest

from musicflow_tests.audio.fuzzing import outcomes, seeds


@pytest.mark.slow
def test_mutated_files_crash_and_surprise_nothing(tmp_path: Path) -> None:
    found = list(outcomes(seeds(tmp_path), range(200)))
    assert len(found) == 200
    surprises = [o for o in found if o.code in ("crashed", "timeout") or o.code.startswith("!")]
    assert surprises == []
    assert max(o.peak_mb for o in found) < 1_000
