"""Files that are there whole or not at all, whatever is killed on the way."""

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicflow.errors import MusicflowError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class DamagedError(MusicflowError):
    """A file of the home that a disk or a person has damaged."""

    code = "damaged"


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Read a Parquet file in the context.

    Raises
    ------
    DamagedError
        If it is damaged, in place of PyArrow's own error, which names no file.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        # Errors of the system have numbers; those of PyArrow have none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(
            f"{path} is damaged", "delete it; the next run makes anew what was in it"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`; folders above are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def parquet_of(table: "pa.Table", **options: Any) -> bytes:
    """Return a table as the content of a Parquet file; see `pyarrow.parquet.write_table`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def write_arrays(path: Path, **arrays: "np.ndarray | str") -> None:
    """Put arrays at `path`, as NumPy's npz."""
    import numpy as np

    sink = io.BytesIO()
    # NumPy's types take the names for options of its own.
    np.savez(sink, **arrays)  # type: ignore[arg-type]
    write_atomically(path, sink.getvalue())


def read_arrays(path: Path, *names: str) -> "list[np.ndarray] | None":
    """Return the arrays of these names; None if there is no file with them that can be read."""
    import numpy as np

    try:
        with np.load(path) as stored:
            return [stored[name] for name in names]
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
