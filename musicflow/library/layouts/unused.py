"""Files of labels that lie in a library and are not read."""

from musicflow.library.layouts import REGISTRY, Layout
from musicflow.library.layouts.nested import bases, joined
from musicflow.library.problems import LABELS_NOT_USED, Problem
from musicflow.places import Place

_READ_BY = {
    "labels.json": "ludwig",
    "fma_metadata/tracks.csv": "fma",
    "manifest.csv": "manifest",
    "manifest.jsonl": "manifest",
    "manifest.parquet": "manifest",
    "library.db": "beets",
    "musiclibrary.db": "beets",
}
"""Files of labels, and the layout that reads each."""


def unused_labels(root: Place, layout: Layout) -> list[Problem]:
    """Return a warning per file of labels that the layout of a library does not read."""
    if REGISTRY.shipped.get(layout.name) is None:
        return []  # Nobody knows what a layout of another package reads.
    return [
        Problem(
            joined(base, name),
            "library",
            "warning",
            f"these labels are not used, because the library is read as {layout.name}, "
            f"not as {reader}",
            LABELS_NOT_USED,
        )
        for base in bases(root)
        for name, reader in _READ_BY.items()
        if reader != layout.name and (root / base / name).is_file()
    ]
