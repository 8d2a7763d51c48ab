"""Addresses of models from outside, such as ``hub:MIT/ast@0a1b2c3#pooler``, and of their layers.

The form is ``[NAME=]KIND:PLACE[@REVISION][?trust_remote_code][#LAYER]``. It says all that is needed
to find and load a model, so every process finds the same one.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["hub", "hear", "onnx", "vectors"]

TRUST = "?trust_remote_code"

_FORM = re.compile(
    r"(?:(?P<given>[A-Za-z0-9][A-Za-z0-9_-]*)=)?"
    r"(?P<kind>hub|hear|onnx|vectors):(?P<place>.+?)"
    r"(?:@(?P<revision>[^@?#/\\]+))?(?P<trust>\?trust_remote_code)?(?:#(?P<layer>[^@?#/\\]+))?",
    re.DOTALL,
)

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Address:
    """Where a model from outside is, and what of it is wanted.

    Parameters
    ----------
    kind
        Says which adapter loads it.
    place
        A repository or folder (``hub``), a module (``hear``), or a file (``onnx``, ``vectors``).
    revision
        The version in a repository; empty for the one that is there.
    layer
        The layer to read; empty for the adapter's choice.
    trust_remote_code
        Whether code of the repository may run.
    given
        The name that a person gave it; empty if none.
    """

    kind: Kind
    place: str
    revision: str = ""
    layer: str = ""
    trust_remote_code: bool = False
    given: str = ""

    def __str__(self) -> str:
        given = f"{self.given}=" if self.given else ""
        revision = f"@{self.revision}" if self.revision else ""
        trust = TRUST if self.trust_remote_code else ""
        layer = f"#{self.layer}" if self.layer else ""
        return f"{given}{self.kind}:{self.place}{revision}{trust}{layer}"

    @property
    def name(self) -> str:
        """The name that was given, or one made of the rest, safe for keys and folders."""
        if self.given:
            return self.given
        all_parts = re.split(r"[/\\]", self.place)
        parts = [part for part in all_parts if part not in ("", ".", "..", "~")]
        # Only a repository's owner belongs to the name: a folder may move.
        is_repository = self.kind == "hub" and all_parts == parts and len(parts) == 2
        text = self.place if is_repository else next(filter(None, reversed(parts)), "")
        if self.kind in ("onnx", "vectors"):
            text = text.rpartition(".")[0] or text
        whole = [self.kind, text, self.revision[:8], self.layer]
        return safe("_".join(part for part in whole if part))

    @property
    def path(self) -> Path:
        """The place as a file or folder."""
        return Path(self.place).expanduser()

    @property
    def is_local(self) -> bool:
        """Whether the place is a file or folder of this machine."""
        return self.kind in ("onnx", "vectors") or (self.kind == "hub" and self.path.is_dir())


def parse(text: str) -> Address | None:
    """Return the address that a text is; None if it is none.

    Examples
    --------
    >>> parse("hub:MIT/ast@0a1b2c3#pooler")
    Address(kind='hub', place='MIT/ast', revision='0a1b2c3', layer='pooler', ...)
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    parts = {name: part or "" for name, part in found.groupdict().items()}
    trust = bool(parts.pop("trust"))
    return Address(**parts, trust_remote_code=trust)  # type: ignore[arg-type]


def without_layer(text: str) -> tuple[str, str]:
    """Return a name or an address without its layer, and the layer; empty if it has none.

    Examples
    --------
    >>> without_layer("wav2vec2#7")
    ('wav2vec2', '7')
    """
    outside = parse(text)
    if outside is not None:
        return str(replace(outside, layer="")), outside.layer
    name, _, layer = text.partition("#")
    return name, layer


def with_layer(text: str, layer: str) -> str:
    """Return a name or an address that has no layer with one; a given name gets it too."""
    outside = parse(text)
    if outside is None:
        return f"{text}#{layer}"
    given = outside.given and name_with_layer(outside.given, layer)
    return str(replace(outside, layer=layer, given=given))


def name_with_layer(name: str, layer: str) -> str:
    """Return the name of an embedder of another layer than its own."""
    return f"{name}_{safe(layer)}"


def absolute(text: str) -> str:
    """Return a text; with an absolute path, if it is an address of a file or folder here."""
    address = parse(text)
    if address is None or not address.is_local:
        return text
    return str(replace(address, place=str(address.path.absolute())))


def safe(text: str) -> str:
    """Return a text as a name that collections, folders, Dagster and MLflow can have."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")[:_LONGEST_NAME] or "embedder"
