"""Repositories of models: a folder here, or one of the Hugging Face hub at a fixed revision.

What was fetched once is used again without asking, so that a machine without a network does the
same. A revision that is not named is the one that was fetched first.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from musicflow.address import Address
from musicflow.embedders.adapters.files import LocalWeights, digest_of_files
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.weights import Weights
from musicflow.errors import described, words_of

CONFIG = "config.json"
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")

_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")

REFUSED = {
    "laion/larger_clap_music": "its file is a broken conversion, whose vectors are all alike "
    "(github.com/embeddings-benchmark/mteb, issue 5069)",
}
"""Repositories that are not used, and why."""


@dataclass(frozen=True, kw_only=True)
class HubWeights(Weights):
    """A repository of the hub at one commit, kept in the hub's own cache.

    Parameters
    ----------
    repository, commit
        Name it.
    """

    repository: str
    commit: str

    @property
    def address(self) -> str:
        """The repository on the hub."""
        return f"the Hugging Face hub ({self.repository} at {self.commit})"

    @property
    def revision(self) -> str:
        """The commit."""
        return self.commit

    def state(self, cache: Path) -> Literal["missing", "unchecked", "checked"]:  # noqa: ARG002
        """Return whether its weights are in the hub's cache."""
        try:
            folder = self.folder
        except OSError:
            return "missing"
        return "checked" if weights_in(folder) else "missing"

    def fetch(self, cache: Path) -> Path:
        """Bring the repository's weights, code and settings; return their folder.

        Raises
        ------
        WeightsError
            If they cannot be fetched.
        """
        from huggingface_hub import snapshot_download

        if self.state(cache) == "checked":
            return self.folder
        for weights in _WEIGHTS:
            try:
                wanted = ["*.json", "*.txt", "*.py", weights]
                folder = Path(
                    snapshot_download(self.repository, revision=self.commit, allow_patterns=wanted)
                )
            except Exception as error:
                raise _not_fetched(self.repository, error) from error
            if weights_in(folder):
                return folder
        raise WeightsError(f"{self.repository} holds no {' and no '.join(_WEIGHTS)}")

    def verify(self, cache: Path) -> None:
        """Fetch it, if it is not here. The hub's client checks what it fetches."""
        self.fetch(cache)

    @property
    def folder(self) -> Path:
        """The folder of what was fetched."""
        return _file(self.repository, self.commit, CONFIG, offline=True).parent

    def _download(self, target: Path) -> None:
        raise WeightsError(f"{target.name} is fetched by the hub's client")


@dataclass(frozen=True)
class Repository:
    """What is known of a repository before its model is loaded."""

    config: dict[str, Any]
    extractor: dict[str, Any]
    weights: Weights


def has_code(config: dict[str, Any]) -> bool:
    """Return whether a model comes with code of its own."""
    return "auto_map" in config


def look(address: Address) -> Repository:
    """Return the settings and the weights of a repository. No weights are fetched.

    Raises
    ------
    WeightsError
        If it is refused, cannot be had, or its settings cannot be read.
    """
    if address.place in REFUSED:
        raise WeightsError(f"{address.place} is not used: {REFUSED[address.place]}", code="refused")
    if address.path.is_dir():
        return _folder(address.path.absolute())
    if address.path.is_absolute() or address.place.startswith((".", "~")):
        raise WeightsError(f"there is no folder {address.place}")
    return _of_hub(address.place, address.revision or "main")


def settings_in(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a folder says of the model and of its feature extractor.

    Raises
    ------
    WeightsError
        If it says nothing, or cannot be read.
    """
    if not (folder / CONFIG).is_file():
        raise WeightsError(f"{folder} holds no {CONFIG}", "name a folder that transformers saved")
    there = [folder / name for name in EXTRACTORS if (folder / name).is_file()]
    return _json(folder / CONFIG), _of_extractor(there)


def _folder(folder: Path) -> Repository:
    config, extractor = settings_in(folder)
    weights = weights_in(folder)
    if not weights:
        raise WeightsError(f"{folder} holds no {' and no '.join(_WEIGHTS)}")
    settings = [folder / name for name in (CONFIG, *EXTRACTORS) if (folder / name).is_file()]
    files = (*weights, *settings, *sorted(folder.glob("*.py")))
    card = folder / "README.md"
    return Repository(
        config,
        extractor,
        LocalWeights(
            files=files,
            filename=folder.name,
            digest=digest_of_files(files),
            licence=_licence(card.read_text("utf-8") if card.is_file() else ""),
            trained_on="unknown",
        ),
    )


@cache
def _of_hub(repository: str, revision: str) -> Repository:
    config = _fetched(repository, revision, CONFIG)
    commit = config.parent.name
    card = _card(repository, commit)
    weights = HubWeights(
        repository=repository,
        commit=commit,
        filename=repository,
        digest=f"hub:{repository}@{commit}",
        licence=_licence(card),
        trained_on="unknown",
    )
    return Repository(_json(config), _of_extractor(_extractors(repository, commit)), weights)


def weights_in(folder: Path) -> list[Path]:
    """Return the files of weights in a folder: those in the better format, if there are both."""
    for pattern in _WEIGHTS:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def _fetched(repository: str, revision: str, name: str) -> Path:
    try:
        return _file(repository, revision, name, offline=True)
    except OSError:
        pass
    try:
        return _file(repository, revision, name, offline=False)
    except Exception as error:
        raise _not_fetched(f"{name} of {repository}", error) from error


def _extractors(repository: str, commit: str) -> list[Path]:
    """Return the file of the feature extractor; none if the repository has none."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for offline in (True, False):
        for name in EXTRACTORS:
            try:
                return [_file(repository, commit, name, offline=offline)]
            except Exception as error:
                unreachable = isinstance(error, LocalEntryNotFoundError) and not offline
                if unreachable or not isinstance(error, EntryNotFoundError | OSError):
                    raise _not_fetched(f"{name} of {repository}", error) from error
    return []


def _card(repository: str, commit: str) -> str:
    """Return the model card; empty if it cannot be had, since only the licence is read from it."""
    try:
        return _fetched(repository, commit, "README.md").read_text("utf-8")
    except (WeightsError, OSError):
        return ""


def _file(repository: str, revision: str, name: str, *, offline: bool) -> Path:
    """Return a file of the hub's cache; every error of one that is not there is an OSError."""
    from huggingface_hub import hf_hub_download

    try:
        found = hf_hub_download(repository, name, revision=revision, local_files_only=offline)
    except ValueError as error:
        # A name that no repository can have, and a file that is not here.
        if offline:
            raise FileNotFoundError(words_of(error)) from error
        raise
    return Path(found)


def _not_fetched(what: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{what} could not be fetched from the Hugging Face hub, {described(error, 150)}",
        "a folder that holds it works the same: hub:FOLDER",
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {words_of(error)}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds no settings")
    return found


def _of_extractor(files: list[Path]) -> dict[str, Any]:
    for path in files:
        found = _json(path)
        # A processor keeps its extractor's settings in its own file.
        return dict(found.get("feature_extractor", found))
    return {}


def _licence(card: str) -> str:
    """Return the licence that a model card's head names."""
    head = re.match(r"---\s*\n(.*?)\n---", card, re.DOTALL)
    found = re.search(r"^license:\s*(\S+)", head[1], re.MULTILINE) if head else None
    return found[1] if found else "unknown"
