"""The demo library: 28 tracks that a Python package carries, laid out the Ludwig way.

The tracks of ``immich-memories-music`` (MIT) were generated, so anyone may use them. Genre is
acoustic or electronic; a subgenre is ``genre---mood``.
"""

import json
import shutil
from pathlib import Path

from musicflow.atomic import write_atomically
from musicflow.library.layouts.ludwig import AUDIO, LABELS
from musicflow.library.track import LibraryError

ARTIST = "ACE-Step"


def lay_out(root: Path) -> Path:
    """Copy the tracks to `root`, unless they are there, and label them.

    Raises
    ------
    LibraryError
        If the package is not installed.
    """
    try:
        import immich_memories_music
    except ImportError as error:
        raise LibraryError(
            "the demo's tracks are not installed: pip install 'musicflow[demo]'"
        ) from error
    labels = {}
    for source in sorted(Path(immich_memories_music.tracks_dir()).glob("*/*.opus")):
        mood, genre, number = source.stem.split("_")
        target = root / AUDIO / genre / source.name
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        labels[source.stem] = {
            "artist": {"S": ARTIST},
            "name": {"S": f"{mood.capitalize()} {genre} {number.removeprefix('s')}"},
            "genre": {"S": genre},
            "subgenres": {"L": [{"S": f"{genre}---{mood}"}]},
        }
    content = json.dumps({"tracks": labels}, indent=1).encode()
    # A file that is written again would count as changed.
    if not (root / LABELS).exists() or (root / LABELS).read_bytes() != content:
        write_atomically(root / LABELS, content)
    return root
