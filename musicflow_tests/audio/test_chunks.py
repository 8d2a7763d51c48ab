"""A WAV file whose odd chunk lacks its pad byte, read as if it were there."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.audio.chunks import Padded

CONTENT = bytes(range(1, 21))
PADDED = CONTENT[:3] + b"\0" + CONTENT[3:10] + b"\0" + CONTENT[10:]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("padded") / "a"
    path.write_bytes(CONTENT)
    return path


@given(
    st.lists(st.tuples(st.integers(-5, 40), st.sampled_from([0, 1, 2]), st.integers(-1, 30))),
)
def test_a_padded_file_reads_as_one_that_was_written_whole(
    path: Path, moves: list[tuple[int, int, int]]
) -> None:
    with Padded(path, [3, 10]) as padded:
        whole = io.BytesIO(PADDED)
        for offset, whence, size in moves:
            place = max(0, {0: 0, 1: padded.tell(), 2: len(PADDED)}[whence] + offset)
            assert padded.seek(offset, whence) == place
            whole.seek(place)
            read = padded.read(size)
            assert whole.read(len(read)) == read
            # It may give less than is asked for, but nothing only at its end.
            assert read or size == 0 or place >= len(PADDED)
