"""The assets `raw_audio` and `track_metadata`: the files and their tracks.

They are two assets because files and labels change independently. Neither decodes a whole file,
and an unchanged file is not opened again. Files are scanned per partition; the tracks are those
of all scanned partitions.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from musicflow.embedders import check_names
from musicflow.index import TrackIndexError
from musicflow.library import (
    AudioFile,
    Library,
    Rule,
    Rules,
    Track,
    grouped,
    known_partitions,
    skipped_kinds,
    skipped_line,
    sorted_files,
    summary_of,
)
from musicflow.library.files import VERSION as SCAN
from musicflow.orchestration import checks, pictures, shown
from musicflow.orchestration.automation import when_something_new
from musicflow.orchestration.failures import explained
from musicflow.orchestration.partitions import BACKFILLS, PARTITIONS, note_ingested
from musicflow.orchestration.processes import PROCESS
from musicflow.orchestration.resources import OWNERS, Reading, Reporter, Workspace
from musicflow.pipeline import published_count
from musicflow.places import Place

PREVIEW = 10

LABELS = "1"
"""Raised when tracks would have other labels for the same files."""


@dg.asset(
    group_name="library",
    owners=OWNERS,
    kinds={"file"},
    code_version=str(SCAN),
    partitions_def=PARTITIONS,
    backfill_policy=BACKFILLS,
    check_specs=checks.specs("raw_audio", checks.LIBRARY),
)
@explained()
def raw_audio(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    reporter: dg.ResourceParam[Reporter],
    reading: dg.ResourceParam[Reading],
) -> dg.MaterializeResult:
    """Scan the library: the files of each partition, their lengths, and which cannot be used.

    An unchanged file is not opened again.
    """
    # The first step of a run refuses names that later ones could not use.
    check_names(workspace.settings)
    keys, root = context.partition_keys, workspace.root
    rules = Rules.of(workspace.settings)
    partitions = reading.scan(root, workspace.paths.library, keys, reporter(context), rules)
    log = shown.log_of_step(context, workspace.settings)
    for key, files in partitions.items():
        context.add_asset_metadata({**_about(files), "log": log}, partition_key=key)
    # Pictures would take longer than the scan of many partitions.
    if len(keys) == 1:
        samples = _samples(context, root, partitions[keys[0]])
        context.add_asset_metadata(samples, partition_key=keys[0])
    note_ingested(workspace.paths, partitions)
    folder = workspace.paths.library
    every = partitions if known_partitions(folder) <= {*keys} else reading.files(folder)
    return dg.MaterializeResult(check_results=[checks.decodable(sorted_files(every))])


def _samples(
    context: dg.AssetExecutionContext, root: Place, files: Sequence[AudioFile]
) -> dict[str, Any]:
    """Return pictures of some files; none where a person waits at a terminal."""
    usable = [file for file in files if not file.error]
    if not usable or PROCESS in context.run.tags:
        return {}
    return {"samples": pictures.spectrograms(root, usable)}


def _about(files: list[AudioFile]) -> dict[str, Any]:
    """Return the metadata of one partition."""
    skipped = skipped_line(skipped_kinds(files)) or "none"
    files = [file for file in files if not file.is_skipped]
    usable = [file for file in files if not file.error]
    suffixes = Counter(file.path.rsplit(".", 1)[-1].lower() for file in files)
    return {
        "dagster/partition_row_count": len(files),
        "tracks": len(usable),
        "hours": round(sum(file.duration_s for file in usable) / 3600, 3),
        "gigabytes": round(sum(file.size for file in files) / 1e9, 3),
        "suffixes": dict(suffixes),
        **shown.failures((file.path, file.code, file.error) for file in files if file.error),
        "not read": skipped,
    }


@dg.asset(
    group_name="library",
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version=LABELS,
    deps=[raw_audio],
    check_specs=checks.specs("track_metadata", checks.TRACKS),
    automation_condition=when_something_new(),
)
@explained()
def track_metadata(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    reading: dg.ResourceParam[Reading],
) -> dg.MaterializeResult:
    """Make a track of each usable file: artist, name, genre and subgenres."""
    folder, root = workspace.paths.library, workspace.root
    partitions = reading.files(folder)
    library = reading.join(root, partitions, workspace.layout, Rule.of(workspace.settings))
    library.save(folder)
    tracks, summary = library.tracks, summary_of(library)
    genres = Counter(track.genre for track in tracks).most_common()
    keys = context.instance.get_dynamic_partitions(str(PARTITIONS.name))
    unread = sorted(set(keys) - known_partitions(folder))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(tracks),
            "format": library.format,
            "read as": library.reading,
            "fingerprint": library.fingerprint,
            "partitions not read yet": ", ".join(unread) or "none",
            "genres": shown.markdown(genres, ["genre", "tracks"]),
            "labels": shown.markdown(summary.labelled.items(), ["field", "tracks"]),
            "genres that look alike": "; ".join(map(", ".join, summary.alike)) or "none",
            "copies": sum(map(len, summary.copies)),
            "labels without audio": summary.missing,
            "preview": _preview(tracks),
            "durations": pictures.durations([track.duration_s for track in tracks]),
            **_samples(context, root, sorted_files(partitions)),
            "problems": _problems(library),
            "notes": "; ".join(summary.notes) or "none",
            "not read": skipped_line(library.skipped) or "none",
        },
        check_results=[
            *checks.tracks(library),
            checks.not_shrunk(len(tracks), _published(workspace), PROCESS in context.run.tags),
        ],
    )


def _published(workspace: Workspace) -> int:
    """Return the tracks that are published; 0 if the index cannot say."""
    try:
        return published_count(workspace.specs, workspace.index)
    except TrackIndexError:
        return 0


def _preview(tracks: Sequence[Track]) -> dg.MarkdownMetadataValue:
    columns = ["track_id", "artist", "name", "genre", "duration_s"]
    rows = [
        [track.track_id, track.artist, track.name, track.genre, round(track.duration_s, 1)]
        for track in tracks[:PREVIEW]
    ]
    return shown.markdown(rows, columns)


def _problems(library: Library) -> dg.MarkdownMetadataValue:
    rows = [(p.subject, p.severity, p.reason) for p in grouped(library.problems)[:50]]
    return shown.markdown(rows, ["what", "severity", "reason"])
