"""Cover art that files carry."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import mutagen
import mutagen.flac
import mutagen.id3
import mutagen.mp4

from musicflow.places import Place

_FRONT = 3
"""The type of a front cover (ID3v2.4.0, APIC)."""

KINDS = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
"""Media types of pictures by their first bytes; a tag may name another, or a program."""

MAX_BYTES = 20_000_000
"""The largest picture that is read."""


def artwork(path: Place) -> tuple[bytes, str] | None:
    """Return the cover art in a file's tags.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    content : bytes
        The front cover, or the first picture if none is named so.
    kind : str
        Its media type, by its first bytes.

    None stands for a file without a picture that browsers show, or one that cannot be read.
    """
    found: list[tuple[bool, bytes]] = []
    # A tag that cannot be read has no picture to show.
    with contextlib.suppress(Exception), path.open("rb") as file:
        found = list(_pictures(mutagen.File(file)))
    for _, content in sorted(found, key=lambda picture: not picture[0]):
        kind = next((kind for first, kind in KINDS.items() if content.startswith(first)), None)
        if kind is not None and len(content) <= MAX_BYTES:
            return content, kind
    return None


def _pictures(file: Any) -> Iterator[tuple[bool, bytes]]:
    """Yield whether each picture is a front cover, and its bytes."""
    for picture in getattr(file, "pictures", ()):
        yield picture.type == _FRONT, picture.data
    tags = file.tags or {}
    for name in tags.keys():  # noqa: SIM118 - those of Vorbis are a list
        value: Any = tags[name]
        if getattr(value, "FrameID", "") in ("APIC", "PIC"):
            yield value.type == _FRONT, value.data
        elif name == "covr":
            yield from ((True, bytes(each)) for each in value)
        elif name.lower() == "metadata_block_picture":
            for text in value:
                block = mutagen.flac.Picture(base64.b64decode(text))
                yield block.type == _FRONT, block.data
