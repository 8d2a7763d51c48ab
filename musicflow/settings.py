"""Paths of a home, and the settings of a run.

A setting comes, in this order, from an option, the environment (`MUSICFLOW_…`), or
`musicflow.toml` in the home folder. Its names are the same in the last two.

A new setting is one line in `Settings`. The list of settings in the docs follows from it. If it
carries an `Option`, so do the option of `musicflow run`, the field of Dagster's launchpad, and what
a home remembers.
"""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import filelock
import platformdirs
import tomlkit
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from musicflow import address
from musicflow.atomic import write_atomically
from musicflow.errors import MusicflowError
from musicflow.places import Place, Remote, place
from musicflow.registry import is_address
from musicflow.text import normalized

Exclude = Literal["artist", "album", "duplicates", "none"]
"""What an evaluation leaves out beside the query itself."""

Hubness = Literal["corrected", "as-is"]
"""Whether an evaluation measures corrections of hubness."""

Precision = Literal["auto", "fp32", "bf16"]

Device = Literal["auto", "cpu", "cuda", "mps"]

PARTITION_SIZE = 1000

ORIGINS = "MUSICFLOW_ORIGINS"
"""The variable of the environment with the sites whose pages may ask the API."""

TOKEN = "MUSICFLOW_TOKEN"
"""The variable of the environment with the token that those who ask the app must know."""

HOME = "~/.musicflow"
"""The folder that everything is kept in, unless a person says otherwise."""


@dataclass(frozen=True)
class Option:
    """Marks a setting that a run is given. The home remembers it for unattended runs.

    Parameters
    ----------
    flag
        The option of `musicflow run`.
    metavar
        The word that stands for its value in the help.
    """

    flag: str
    metavar: str | None = None


@dataclass(frozen=True)
class Home:
    """The folder that holds one library's tracks, vectors, collections, runs and reports."""

    root: Path

    @property
    def settings_file(self) -> Path:
        """The settings that unattended runs (the Dagster UI, schedules) work with."""
        return self.root / "musicflow.toml"

    @property
    def library(self) -> Path:
        """What is known of the files and tracks."""
        return self.root / "library"

    @property
    def identity(self) -> str:
        """The home's own name among all homes, made when it is first asked for.

        A copy of a home has the same: it is the same home.
        """
        file = self.root / "identity"
        with contextlib.suppress(FileNotFoundError):
            return file.read_text("utf-8").strip()
        self.root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.root / ".identity.lock"):
            if not file.exists():
                write_atomically(file, uuid.uuid4().hex.encode())
            return file.read_text("utf-8").strip()

    @property
    def locks(self) -> Path:
        """Locks of the collections that are being published on a server."""
        return self.root / "locks"

    @property
    def embeddings(self) -> Path:
        """The embedding store."""
        return self.root / "embeddings"

    @property
    def collections(self) -> Path:
        """The published collections of the embedded engine."""
        return self.root / "collections"

    @property
    def failures(self) -> Path:
        """The errors that keep embedders from a collection."""
        return self.root / "failures"

    @property
    def reports(self) -> Path:
        """The last comparison, as JSON, Markdown, CSV and pictures."""
        return self.root / "reports"

    @property
    def fusions(self) -> Path:
        """The weights of fused collections, as the last evaluation chose them."""
        return self.root / "fusions.json"

    @property
    def recordings(self) -> Path:
        """The verdicts on recordings, by comparing sounds."""
        return self.root / "recordings.json"

    @property
    def landmarks(self) -> Path:
        """The landmarks of each content, by which cuts are found."""
        return self.root / "landmarks"

    @property
    def pace(self) -> Path:
        """The seconds per track that publication and evaluation last took."""
        return self.root / "pace.json"

    @property
    def neighbours(self) -> Path:
        """The neighbours of each track, and its crowd, as the last evaluation found them."""
        return self.root / "neighbours"

    @property
    def stress(self) -> Path:
        """The vectors of deformed tracks."""
        return self.root / "stress"

    @property
    def tuned(self) -> Path:
        """What each tuned space was learned from."""
        return self.root / "tuned"

    @property
    def votes(self) -> Path:
        """The app's blind votes, a JSON line each."""
        return self.root / "votes.jsonl"

    @property
    def likes(self) -> Path:
        """What was liked and disliked together in the app, a JSON line each."""
        return self.root / "likes.jsonl"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow's runs are: ``MLFLOW_TRACKING_URI`` if set, else SQLite in the home."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.mlflow / 'mlflow.db'}"

    @property
    def dagster(self) -> Path:
        """Dagster's instance: `DAGSTER_HOME`."""
        return self.root / "dagster"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that hold results, and no music."""
        made = (self.library, self.embeddings, self.collections, self.landmarks, self.neighbours)
        told = (self.failures, self.reports, self.stress, self.tuned, self.error_log.parent)
        return (*made, *told, self.mlflow, self.dagster, self.locks)

    @property
    def error_log(self) -> Path:
        """The tracebacks of errors that nobody foresaw."""
        return self.root / "logs" / "error.log"

    @property
    def decoding_log(self) -> Path:
        """What decoders say of files, by file."""
        return self.root / "logs" / "decoding.log"

    @property
    def demo(self) -> Path:
        """The demo library."""
        return self.root / "demo"


_ALWAYS_KEPT = ("library", "library_format", "embedders")
"""The settings that a home remembers even where they were not given."""


class Alias(BaseModel):
    """A short name for a model from outside: ``[aliases.NAME]`` in the settings file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(alias="from", description="The address: hub:, hear:, onnx: or vectors:.")
    trust_remote_code: bool = Field(
        False, description="Whether code of this model's repository may run."
    )

    @field_validator("source")
    @classmethod
    def _is_an_address(cls, source: str) -> str:
        found = address.parse(source)
        if found is None or found.given:
            raise ValueError(f"{source!r} is no address: write hub:, hear:, onnx: or vectors:")
        return address.absolute(source)

    def named(self, name: str) -> str:
        """Return the address with its name, which every process understands."""
        found = address.parse(self.source)
        assert found is not None
        trust = self.trust_remote_code or found.trust_remote_code
        return str(replace(found, given=name, trust_remote_code=trust))


class SettingError(MusicflowError):
    """A setting that cannot be read."""

    code = "settings"


_PREFIX = "MUSICFLOW_"


class _Source(PydanticBaseSettingsSource):
    """A source without the tables that were given empty: pydantic would add to them."""

    emptied: Set[str] = frozenset()

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()  # type: ignore[safe-super]
        return {name: one for name, one in values.items() if name not in self.emptied}


class _Environment(_Source, EnvSettingsSource):
    """The variables of the environment."""

    def prepare_field_value(self, field_name: str, *given: Any) -> Any:
        try:
            return super().prepare_field_value(field_name, *given)
        except ValueError as error:
            variable = f"{_PREFIX}{field_name.upper()}"
            raise SettingError(
                f"the variable {variable} is no JSON: {os.environ.get(variable)!r}",
                'write a list as in ["mfcc"], and a table as in {"mfcc": 0.5}',
            ) from error


class _HomeSource(_Source, TomlConfigSettingsSource):
    """The home's settings file, where ``qdrant.url`` is another spelling of ``qdrant_url``."""

    def _read_file(self, path: Any) -> dict[str, Any]:
        values = super()._read_file(path)
        table = values.pop("qdrant", {})
        if not isinstance(table, dict):
            advice = f"write qdrant_url = {table!r}"
            raise HomeError(f"{path}: qdrant = {table!r} is no table", advice)
        return values | {f"qdrant_{name}": value for name, value in table.items()}


def _text(where: Place | None) -> str | None:
    return None if where is None else str(where)


class Settings(BaseSettings):
    """What a run works on; see the module's docstring for where values come from."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", allow_inf_nan=False)

    home: Path = Field(Path(HOME), description="The folder everything is kept in.")
    cache: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("musicflow"),
        description="Downloaded weights, shared by all homes.",
    )
    library: Annotated[InstanceOf[Path] | InstanceOf[Remote] | None, PlainSerializer(_text)] = (
        Field(
            None,
            description="The folder of music, or an address that fsspec reads, such as "
            "s3://bucket/music.",
        )
    )
    store: str | None = Field(
        None,
        description="Where vectors are kept, unless in the home: a folder, or an address such as "
        "s3://bucket/vectors, which several homes may share.",
    )
    library_format: Annotated[str, Option("--format", "LAYOUT")] = Field(
        "auto",
        description="How the folder is laid out: auto, a layout's name, that of an installed "
        "package, or package.module:NAME.",
    )
    genre: Annotated[str, Option("--genre", "SOURCE")] = Field(
        "auto",
        description="Where genres come from: auto, tag, folder, or a table in CSV with the columns "
        "path and genre.",
    )
    genre_level: Annotated[int | None, Option("--genre-level", "LEVEL")] = Field(
        None, ge=1, description="The level of the folders that are genres, 1 for the topmost."
    )
    genre_names: dict[str, str] = Field(
        {},
        description="Your own names of genres, by the spelling they stand for; an empty name "
        "leaves a genre out.",
    )
    ignore: Annotated[tuple[str, ...], Option("--ignore", "PATTERN")] = Field(
        (), description="Files or folders to leave out, as in a .gitignore."
    )
    part_size: int = Field(
        PARTITION_SIZE,
        ge=1,
        description="Approximate files per partition of the library, as Dagster shows them.",
    )
    partitions_per_run: int | None = Field(
        None,
        ge=1,
        description="The most partitions that one run of a backfill takes; all unless set. On many "
        "machines, 1.",
    )
    file_timeout_s: float = Field(
        300.0,
        gt=0,
        description="Seconds that the decoder may work on one file before it is left out.",
    )
    max_duration_s: float = Field(
        86_400.0, gt=0, description="Seconds of audio beyond which a file is left out."
    )
    alert: str | None = Field(
        None,
        description="A command that gets each failed run as JSON, or the address of a webhook.",
    )
    dagster_url: str = Field(
        "http://localhost:3000", description="Where Dagster's pages are, for links to them."
    )
    mlflow_url: str = Field(
        "http://localhost:5000", description="Where MLflow's pages are, for links to them."
    )
    embedders: Annotated[tuple[str, ...], Option("--embedder", "NAME")] = Field(
        ("musicnn", "openl3", "panns", "wav2vec2", "mfcc"),
        min_length=1,
        description="The embedders to compare, each a name or an address.",
    )
    tuned: tuple[str, ...] = Field(
        (),
        description="The tuned spaces to keep up to date, each as in musicnn+mfcc@genre; "
        "`musicflow tune` adds to them.",
    )
    aliases: dict[str, Alias] = Field(
        {}, description="Models from outside, by the name that embedders and commands use."
    )
    hop_s: Annotated[dict[str, Annotated[float, Field(gt=0)]], Option("--hop", "NAME=SECONDS")] = (
        Field({}, description="Seconds from one window to the next, by embedder.")
    )
    coverage_s: Annotated[float, Option("--coverage", "SECONDS")] = Field(
        0.0,
        ge=0,
        description="Seconds of a track to hear, in excerpts spread evenly over it; 0: all of it.",
    )
    loudness_lufs: Annotated[float | None, Option("--loudness", "LUFS")] = Field(
        None,
        ge=-60,
        le=0,
        description="The loudness (EBU R128) that each track is brought to before embedders hear "
        "it, such as -14; unless set, it stays as it is.",
    )
    tags: Annotated[tuple[str, ...], Option("--tag", "WORDS")] = Field(
        (), description="Tags of your own that embedders with a text side predict for each track."
    )
    precision: Annotated[Precision, Option("--precision")] = Field(
        "auto",
        description="Arithmetic of models with a choice; auto: the one that is fastest here.",
    )
    device: Annotated[Device, Option("--device")] = Field(
        "auto", description="Where models run; auto: on an NVIDIA GPU, if there is one."
    )
    qdrant_url: str | None = Field(
        None,
        description="A Qdrant server to index in, rather than in the home: HOST:PORT or an "
        "http:// or https:// address, with a path where a proxy has one.",
    )
    qdrant_api_key: SecretStr | None = Field(None, description="The server's key.")
    qdrant_ca: Path | None = Field(
        None,
        description="A file of certificates (PEM) to trust the server by, for a CA of your own.",
    )
    qdrant_grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Where that server speaks gRPC; unless set, the port after the address's is "
        "tried. 0: nowhere.",
    )
    qdrant_namespace: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The beginning of all names on the server; unless set, it carries the home's "
        "identity.",
    )
    qdrant_wait_s: float = Field(
        60.0, ge=0, description="Seconds to wait for a server that restarts or is busy."
    )
    qdrant_index_wait_s: float = Field(
        3600.0,
        ge=0,
        description="Seconds that a new version waits for the server's index of it before searches "
        "see it. 0: none.",
    )
    qdrant_replication_factor: int | None = Field(
        None, ge=1, description="The nodes of a cluster that hold each vector; 1 unless set."
    )
    qdrant_shard_number: int | None = Field(
        None, ge=1, description="The shards of a collection; the server decides unless set."
    )
    qdrant_write_consistency_factor: int | None = Field(
        None, ge=1, description="The nodes that must confirm a write; 1 unless set."
    )
    qdrant_on_disk: bool = Field(
        False, description="Whether the server keeps vectors on disk rather than in memory."
    )
    quantization: Literal["none", "int8"] = Field(
        "none", description="int8: an index keeps a byte a dimension in memory, not four."
    )
    evaluate: Annotated[str, Option("--evaluate", "WHEN")] = Field(
        "when 1 % changed",
        description="When a changed library is evaluated again: always, daily, or when N % changed "
        "(of its tracks). Until then the comparison says which tracks it is of.",
    )
    exclude: Annotated[Exclude, Option("--exclude")] = Field(
        "artist", description="The tracks that a query excludes in the evaluation, beside itself."
    )
    cuts: bool = Field(
        True,
        description="Whether an evaluation looks for excerpts of one recording; each new track is "
        "decoded once more for that.",
    )
    labels: Annotated[tuple[str, ...], Option("--label", "LABEL")] = Field(
        (),
        description="Labels to evaluate by beside the genre: genre, subgenre, artist, album, "
        "decade, tags, playlist, a field of the library's own such as mood, FILE.csv, or "
        "FOLDER/ of playlists.",
    )
    k: Annotated[int, Option("-k")] = Field(
        10, ge=1, le=1000, description="The k of one more precision@k, beside 1, 5 and 10."
    )
    hubness: Annotated[Hubness, Option("--hubness")] = Field(
        "corrected",
        description="corrected: the evaluation measures each embedder with its hubness corrected, "
        "too. as-is: it does not.",
    )
    stress: Annotated[int, Option("--stress", "TRACKS")] = Field(
        0,
        ge=0,
        description="Tracks to deform (MP3, noise, quieter, faster and more) and to query with in "
        "the evaluation; 0: none.",
    )
    metrics: Annotated[tuple[str, ...], Option("--metric", "METRIC")] = Field(
        (), description="Metrics of other packages to add, each package.module:NAME."
    )

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            if where := self._origin(error.errors()[0]["loc"], given):
                error.add_note(where)
            raise

    @classmethod
    def _origin(cls, place: tuple[int | str, ...], given: Mapping[str, Any]) -> str:
        """Return where a value stands, for people; empty of one that was given."""
        if _holds(given, place):
            return ""
        environment = _Environment(cls)()
        if _holds(environment, place):
            return f"in the variable {_PREFIX}{str(place[0]).upper()}"
        return f"in {cls._file(given, environment)}"

    @classmethod
    def _file(cls, given: Mapping[str, Any], environment: Mapping[str, Any]) -> Path:
        """Return the settings file of the home that is given, or in the environment."""
        home = given.get("home") or environment.get("home") or cls.model_fields["home"].default
        return Home(expanded(Path(home))).settings_file

    @field_validator("library", mode="before")
    @classmethod
    def _somewhere(cls, library: Any) -> Any:
        if library == "":
            raise ValueError("its name is empty: write a folder, or . for this one")
        if library is not None and not isinstance(library, str | Path | Remote):
            raise ValueError(f"{library!r} is neither a folder nor an address")
        return place(library) if isinstance(library, str) else library

    @field_validator("genre")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source in ("auto", "tag", "folder"):
            return source
        if not source.lower().endswith(".csv"):
            raise ValueError(f"{source!r} is none of auto, tag, folder, and no table FILE.csv")
        # Unattended runs start elsewhere.
        return str(place(source).expanduser().absolute())

    @field_validator("tags")
    @classmethod
    def _told_apart(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(" ".join(normalized(tag).split()) for tag in tags))
        if "" in words:
            raise ValueError("a tag is empty: write words such as calm")
        return words

    @field_validator("labels")
    @classmethod
    def _found_from_anywhere(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        # Unattended runs start elsewhere.
        found = [str(Path(one).expanduser().absolute()) if is_file(one) else one for one in labels]
        if "" in found:
            raise ValueError("a label is empty: write one such as playlist")
        names = [Path(one).stem for one in dict.fromkeys(found)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two labels are called {twice[0]}: rename one of the files")
        return tuple(dict.fromkeys(found))

    @field_validator("evaluate")
    @classmethod
    def _known_time(cls, when: str) -> str:
        if when in ("always", "daily") or share_that_matters(when) is not None:
            return when
        raise ValueError(f"{when!r} is none of always, daily, when N % changed")

    @field_validator("library_format")
    @classmethod
    def _known_layout(cls, name: str) -> str:
        if name == "auto" or is_address(name):
            return name
        # It stands on the settings, and is not needed where no layout is named.
        from musicflow.library import layouts

        if name not in layouts.names():
            raise ValueError(f"{name!r} is none of {', '.join(layouts.names())}")
        return name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the home's settings file last."""
        given, environment = init_settings(), _Environment(settings_cls)
        file = cls._file(given, environment())
        try:
            remembered = _HomeSource(settings_cls, file)
        except ValueError as error:
            raise HomeError(f"{file} is not valid TOML: {error}") from error
        remembered.emptied = environment.emptied = {name for name in given if given[name] == {}}
        return init_settings, environment, remembered

    def model_post_init(self, _context: Any) -> None:
        """Make the paths absolute, so that a change of folder changes nothing."""
        self.home = expanded(self.home).absolute()
        self.cache = expanded(self.cache).absolute()
        if self.library is not None:
            self.library = self.library.expanduser().absolute()
        if self.store is not None:
            self.store = str(place(self.store).expanduser().absolute())
        if self.qdrant_ca is not None:
            self.qdrant_ca = self.qdrant_ca.expanduser().absolute()
        self.embedders = tuple(map(address.absolute, self.embedders))

    @property
    def remembered(self) -> dict[str, Any]:
        """Return what the home remembers of a run: library and embedders, and what was given."""
        given = sorted(options_of_a_run().keys() & self.model_fields_set - set(_ALWAYS_KEPT))
        return {name: getattr(self, name) for name in (*_ALWAYS_KEPT, *given)}

    @property
    def paths(self) -> Home:
        """The layout of the home."""
        return Home(self.home)


def _holds(values: Any, place: tuple[int | str, ...]) -> bool:
    """Return whether there is a value at a place, by the names of nested tables."""
    for name in place:
        if not isinstance(values, Mapping):
            return True
        if name not in values:
            return False
        values = values[name]
    return True


def share_that_matters(when: str) -> float | None:
    """Return the N of "when N % changed" as a share; None of any other text."""
    found = re.fullmatch(r"when (\d+(?:\.\d+)?) ?% changed", when)
    return float(found[1]) / 100 if found else None


def is_file(source: str) -> bool:
    """Return whether a source of labels is a table in CSV, or a folder of playlists."""
    return source.lower().endswith(".csv") or "/" in source


def options_of_a_run() -> dict[str, tuple[FieldInfo, Option]]:
    """Return the settings that a run is given, by name, in order, with their options."""
    return {
        name: (field, mark)
        for name, field in Settings.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Option)
    }


def choices(name: str) -> tuple[str, ...]:
    """Return the values that a setting takes; none if it takes others than those of a list."""
    kind = Settings.model_fields[name].annotation
    return get_args(kind) if get_origin(kind) is Literal else ()


class HomeError(MusicflowError):
    """A home that cannot be worked in."""

    code = "home"


def expanded(path: Path) -> Path:
    """Return a path with the user's folder in place of ``~``.

    Raises
    ------
    HomeError
        If it begins with ``~`` and the system knows no folder of the user, as in some containers.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise HomeError(
            f"{path} cannot be found, since the system knows no folder of this user",
            "set HOME, or MUSICFLOW_HOME and MUSICFLOW_CACHE",
        ) from error


def check_for_databases(home: "Home") -> None:
    """Refuse a home whose databases could not be found.

    Dagster and MLflow make addresses of the names of their files, in which some signs mean
    something else.

    Raises
    ------
    HomeError
        If the path holds one.
    """
    if odd := [sign for sign in "?%" if sign in str(home.root)]:
        raise HomeError(
            f"the home {home.root} has {odd[0]!r} in its name, under which Dagster and MLflow "
            "cannot find their databases",
            "name another with --home",
        )


_REMEDIES = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EROFS: "the disk is read-only: mount it for writing",
    errno.EACCES: "permission is denied: give the user of this process access",
    errno.EPERM: "the operation is not permitted: give the user of this process access",
}


def is_lasting(error: OSError) -> bool:
    """Return whether an error of the system stays until a person acts."""
    return error.errno in _REMEDIES


def explain(error: OSError) -> str:
    """Return what an error of the operating system means, and what to do."""
    what = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}. All finished work is kept: then run it again."


def explain_invalid(error: ValidationError) -> str:
    """Return which setting is not valid, where it stands, and why."""
    first = error.errors()[0]
    # Of a setting with several types, pydantic names the type as well.
    name = repr(".".join(str(part) for part in first["loc"] if "[" not in str(part)))
    where = " ".join((name, *getattr(error, "__notes__", ())))
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        why = f"{first['input']!r} is none of {first['ctx']['expected']}"
    if first["type"] == "extra_forbidden":
        why = "there is no setting of this name"
    return f"the setting {where} is not valid: {why}"


def remember(home: Home, **values: object) -> None:
    """Keep `values` in the home's settings file, which forgets empty ones.

    Comments and other values stay.
    """
    text = home.settings_file.read_text("utf-8") if home.settings_file.exists() else ""
    document = tomlkit.parse(text)
    for name, value in values.items():
        if value in (None, (), {}):
            document.pop(name, None)
        else:
            document[name] = _plain(value)
    write_atomically(home.settings_file, tomlkit.dumps(document).encode())


def _plain(value: object) -> object:
    if isinstance(value, Path | Remote):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
