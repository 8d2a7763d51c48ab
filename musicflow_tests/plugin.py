"""A package that brings embedders and a layout, as somebody outside would write it."""

import zipfile
from pathlib import Path

NAME = "toyflow-1.0-py3-none-any.whl"

_FILES = {
    "toyflow/__init__.py": "",
    "toyflow/embedders.py": """
import numpy as np

from musicflow.embedders import Embedder, EmbedderEntry, EmbedderSpec, Inferred


def spec(name, **more):
    about = {"layer": "none", "summary": "level, peak and sign changes", **more}
    return EmbedderSpec(name, "1", 8000, 3, 0.5, 0.5, **about)


class Loudness(Embedder):
    def infer(self, windows):
        level = np.sqrt(np.square(windows).mean(axis=1))
        changes = (np.diff(np.sign(windows), axis=1) != 0).mean(axis=1)
        return Inferred(np.stack([level, np.abs(windows).max(axis=1), changes], axis=1))


LOUDNESS = EmbedderEntry(spec("loudness"), lambda spec, cache: Loudness(spec))
CHANGES = EmbedderEntry(spec("changes"), lambda spec, cache: Loudness(spec))


class Wider(Loudness):
    def infer(self, windows):
        return Inferred(np.ones((len(windows), 4)))


def cannot(spec, cache):
    raise RuntimeError("the moon is full")


def needs(spec, cache):
    import a_module_that_is_not_there


NO_ENTRY = Loudness
RAISES = EmbedderEntry(spec("raises"), cannot)
NEEDS = EmbedderEntry(spec("needs", extra="toyflow[gpu]"), needs)
WIDER = EmbedderEntry(spec("wider"), lambda spec, cache: Wider(spec))
NO_EMBEDDER = EmbedderEntry(spec("nothing"), lambda spec, cache: None)
NAMESAKE = EmbedderEntry(spec("mfcc"), lambda spec, cache: Loudness(spec))
""",
    "toyflow/unusable.py": "raise RuntimeError('no import today')\n",
    "toyflow/layouts.py": """
from musicflow.library import Detection, Layout, track_of


def detect(root):
    if (root / "prefixed.txt").is_file():
        return Detection("prefixed.txt lies in it")


def read(root, files):
    usable = [file for file in files if not file.error]
    return [track_of(root, file, genre=file.path.partition("-")[0]) for file in usable], []


def state(root):
    return (root / "prefixed.txt").read_text()


PREFIXED = Layout("prefixed", detect, read, state)
NO_TRACKS = Layout("no-tracks", detect, lambda root, files: (["a track"], []))
FAILS = Layout("fails", detect, lambda root, files: 1 / 0)
""",
    "toyflow-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toyflow\nVersion: 1.0\n",
    "toyflow-1.0.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "toyflow-1.0.dist-info/entry_points.txt": """
[musicflow.embedders]
loudness = toyflow.embedders:LOUDNESS
unusable = toyflow.unusable:ANY
alias = toyflow.embedders:CHANGES
mfcc = toyflow.embedders:NAMESAKE

[musicflow.layouts]
prefixed = toyflow.layouts:PREFIXED
unusable = toyflow.unusable:ANY
""",
}


def unpack(folder: Path) -> Path:
    """Lay the package out in a folder, as pip installs it."""
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def build(folder: Path) -> Path:
    """Build the package's wheel."""
    wheel = folder / NAME
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in _FILES.items():
            archive.writestr(name, text)
        archive.writestr("toyflow-1.0.dist-info/RECORD", "")
    return wheel
