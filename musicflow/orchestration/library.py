"""The assets `raw_audio` and `track_metadata`: the files and their tracks.

They are two assets because files and labels change independently. Neither decodes a whole file,
and an unchanged file is not opened again. Files are scanned per partition; the tracks are those
of all scanned partitions.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from musicflow.library import (
    AudioFile,
    Library,
    Rule,
    Rules,
    Track,
    grouped,
    join,
    known_partitions,
    load_files,
    skipped_kinds,
    skipped_line,
    summary_of,
)
from musicflow.orchestration import checks, pictures
from musicflow.orchestration.automation import DAILY, when_something_new
from musicflow.orchestration.failures import explained
from musicflow.orchestration.partitions import BACKFILLS, PARTITIONS
from musicflow.orchestration.resources import Reporter, Scan, Workspace

PREVIEW = 10


@dg.asset(
    group_name="library",
    kinds={"file"},
    partitions_def=PARTITIONS,
    backfill_policy=BACKFILLS,
    check_specs=checks.specs("raw_audio", checks.LIBRARY),
)
@explained()
def raw_audio(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    reporter: dg.ResourceParam[Reporter],
    scan: dg.ResourceParam[Scan],
) -> dg.MaterializeResult:
    """Scan the library: sizes, contents and lengths of files, and the unusable ones."""
    keys, root = context.partition_keys, workspace.root
    rules = Rules.of(workspace.settings)
    partitions = scan(root, workspace.paths.library, keys, reporter(context), rules)
    for key, files in partitions.items():
        context.add_asset_metadata(_about(files), partition_key=key)
    seen = [file for files in partitions.values() for file in files]
    audio_files = [file for file in seen if not file.is_skipped]
    suffixes = Counter(file.path.rsplit(".", 1)[-1].lower() for file in audio_files)
    broken = pd.DataFrame(
        [(file.path, file.error) for file in audio_files if file.error], columns=["file", "reason"]
    )
    metadata: dict[str, Any] = {
        "root": dg.MetadataValue.path(str(root)),
        "suffixes": dict(suffixes),
        "problems": dg.MetadataValue.md(_markdown(broken.head(50)) or "none"),
        "not read": skipped_line(skipped_kinds(seen)) or "none",
    }
    usable = [file for file in audio_files if not file.error]
    if len(keys) == 1 and usable:
        # In a run of many partitions, each would store a copy of the picture.
        metadata["samples"] = pictures.spectrograms(root, usable)
    folder = workspace.paths.library
    every = seen if known_partitions(folder) <= {*keys} else load_files(folder)
    found = checks.decodable(every)
    return dg.MaterializeResult(metadata=metadata, check_results=[found])


def _about(files: list[AudioFile]) -> dict[str, int | float]:
    files = [file for file in files if not file.is_skipped]
    usable = [file for file in files if not file.error]
    return {
        "dagster/partition_row_count": len(files),
        "usable": len(usable),
        "unusable": len(files) - len(usable),
        "hours": round(sum(file.duration_s for file in usable) / 3600, 3),
        "gigabytes": round(sum(file.size for file in files) / 1e9, 3),
    }


@dg.asset(
    group_name="library",
    kinds={"parquet"},
    deps=[raw_audio],
    check_specs=checks.specs("track_metadata", checks.TRACKS),
    automation_condition=when_something_new(),
    freshness_policy=DAILY,
)
@explained()
def track_metadata(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult:
    """Make tracks: artist, name, genre and subgenres of each usable file."""
    folder, root = workspace.paths.library, workspace.root
    files = load_files(folder)
    library = join(root, files, workspace.layout, Rule.of(workspace.settings))
    library.save(folder)
    tracks, summary = library.tracks, summary_of(library)
    genres = pd.DataFrame(Counter(t.genre for t in tracks).most_common(), columns=_GENRES)
    labelled = pd.DataFrame(list(summary.labelled.items()), columns=["field", "tracks"])
    keys = context.instance.get_dynamic_partitions(str(PARTITIONS.name))
    unread = sorted(set(keys) - known_partitions(folder))
    usable = [file for file in files if not file.error]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(tracks),
            "format": library.format,
            "read as": library.reading,
            "fingerprint": library.fingerprint,
            "partitions not read yet": ", ".join(unread) or "none",
            "genres": dg.MetadataValue.md(_markdown(genres)),
            "labels": dg.MetadataValue.md(_markdown(labelled)),
            "genres that look alike": "; ".join(map(", ".join, summary.alike)) or "none",
            "copies": sum(map(len, summary.copies)),
            "labels without audio": summary.missing,
            "preview": dg.MetadataValue.md(_preview(tracks)),
            "durations": pictures.durations([track.duration_s for track in tracks]),
            "samples": pictures.spectrograms(root, usable),
            "problems": dg.MetadataValue.md(_markdown(_problems(library)) or "none"),
            "notes": "; ".join(summary.notes) or "none",
            "not read": skipped_line(library.skipped) or "none",
        },
        check_results=list(checks.tracks(library)),
    )


_GENRES = ["genre", "count"]


def _preview(tracks: Sequence[Track]) -> str:
    columns = ["track_id", "artist", "name", "genre", "duration_s"]
    rows = [[getattr(track, column) for column in columns] for track in tracks[:PREVIEW]]
    return _markdown(pd.DataFrame(rows, columns=columns).round(1))


def _problems(library: Library) -> pd.DataFrame:
    rows = [(p.subject, p.severity, p.reason) for p in grouped(library.problems)[:50]]
    return pd.DataFrame(rows, columns=["what", "severity", "reason"])


def _markdown(frame: pd.DataFrame) -> str:
    return "" if frame.empty else frame.to_markdown(index=False)
