"""The assets `embeddings/<model>` and `collections/<model>`, one pair per embedder.

The embedders do not depend on one another, so each can be materialized, and can fail, alone.
Both assets skip what is up to date: vectors are kept by content, and a collection that would not
change is not built again.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import cost_of
from musicflow.library import (
    Library,
    LibraryError,
    Problem,
    Rules,
    Track,
    known_partitions,
    note_lines,
    track_of,
)
from musicflow.library.partitions import chooser
from musicflow.orchestration import checks, shown
from musicflow.orchestration.automation import WHEN_READ, when_something_new
from musicflow.orchestration.failures import explained
from musicflow.orchestration.library import raw_audio, track_metadata
from musicflow.orchestration.partitions import BACKFILLS, PARTITIONS
from musicflow.orchestration.resources import INDEX, OWNERS, Reading, Reporter, Workspace
from musicflow.pipeline import Embedded, embed_for, health_of, publish_for
from musicflow.pipeline.plan import embedding_steps, to_embed
from musicflow.pipeline.publish import LAYOUT
from musicflow.store import Embedding, stack

LOOKED_AT = 1000
"""Vectors whose health is looked at beside the new ones."""


def embeddings_asset(*, spec: EmbedderSpec, pool: str) -> dg.AssetsDefinition:
    """Return the asset of an embedder's vectors; a run may set hop and precision."""
    label, name = spec.label, spec.reference

    @dg.asset(
        key=["embeddings", label],
        group_name="embeddings",
        owners=OWNERS,
        code_version=spec.hash,
        kinds={"python", "parquet"},
        deps=[raw_audio],
        partitions_def=PARTITIONS,
        backfill_policy=BACKFILLS,
        check_specs=checks.specs(["embeddings", label], checks.VECTORS),
        pool=pool,
        automation_condition=WHEN_READ,
        description=f"A vector of {spec.dim} dimensions per track: {spec.summary}. Tracks with a "
        "current one are skipped.",
    )
    @explained()
    def embeddings(
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        reporter: dg.ResourceParam[Reporter],
        reading: dg.ResourceParam[Reading],
    ) -> dg.MaterializeResult:
        spec = workspace.spec(name)
        partitions = _partitions(workspace, reading, context.partition_keys)
        tracks = list({t.track_id: t for part in partitions.values() for t in part}.values())
        work = to_embed(tracks, spec, workspace.store)
        if again := _embedded_again(work, spec, workspace):
            context.log.warning(
                f"{again} tracks have vectors by another version or other settings and are "
                "embedded again"
            )
        done = embed_for(workspace.settings, tracks, spec, workspace.store, reporter(context))
        new, problems = {track.content_hash for track in work}, _by_track(done.problems)
        log = shown.log_of_step(context, workspace.settings)
        for key, part in partitions.items():
            about = _about(part, spec, done, new, problems)
            context.add_asset_metadata({**about, "log": log}, partition_key=key)
        looked_at = new | {track.content_hash for track in tracks[:LOOKED_AT]}
        made = [row for row in done.read(looked_at).values() if row.vector is not None]
        health = health_of(stack(made) if made else np.zeros((0, spec.dim)))
        return dg.MaterializeResult(check_results=list(checks.vectors(health, spec)))

    return embeddings


def _embedded_again(work: list[Track], spec: EmbedderSpec, workspace: Workspace) -> int:
    """Return how many tracks lose vectors of another version or other settings."""
    steps = embedding_steps(work, spec, workspace.store)
    return sum(step.tracks for step in steps if step.reason == "version")


def _partitions(
    workspace: Workspace, reading: Reading, keys: Sequence[str]
) -> dict[str, list[Track]]:
    """Return the usable files of each partition as tracks without labels."""
    folder = workspace.paths.library
    if unread := sorted(set(keys) - known_partitions(folder)):
        raise LibraryError(
            f"{', '.join(unread)} was never scanned: materialize raw_audio for it first"
        )
    root = workspace.root  # Once: each look reads the settings.
    partitions = reading.files(folder, keys)
    # Of a file that two partitions know, the later scan counts.
    files = {file.path: file for part in partitions.values() for file in part}
    tracks = {path: track_of(root, file) for path, file in files.items() if not file.error}
    return {
        key: [tracks[file.path] for file in partitions.get(key, ()) if file.path in tracks]
        for key in keys
    }


def _by_track(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        found[problem.subject].append(problem)
    return found


def _about(
    tracks: list[Track],
    spec: EmbedderSpec,
    done: Embedded,
    new: Container[str],
    problems: Mapping[str, list[Problem]],
) -> dict[str, Any]:
    """Return the metadata of one partition."""
    contents = {track.content_hash for track in tracks}
    rows = [done.outcomes[content] for content in contents if content in done.outcomes]
    vectors = [row for row in rows if not row.error]
    found = [problem for track in tracks for problem in problems.get(track.track_id, ())]
    errors = [problem for problem in found if problem.severity == "error"]
    return {
        "dagster/partition_row_count": len(vectors),
        "tracks": len(tracks),
        "hours": round(sum(track.duration_s for track in tracks) / 3600, 3),
        "seconds": round(sum(row.wall_s for row in rows), 2),
        "embedded now": sum(row.content_hash in new for row in rows),
        "current already": sum(content not in new for content in contents),
        **shown.failures((one.subject, one.code, one.reason) for one in errors),
        **_cost(vectors),
        "dim": spec.dim,
        "weights": spec.weights_state,
        "spec": spec.hash,
        "notes": "; ".join(note_lines(found)) or "none",
    }


def _cost(vectors: list[Embedding]) -> dict[str, Any]:
    cost = cost_of(vectors)
    known = {_COSTS.get(name, name): value for name, value in cost.items() if value is not None}
    return {shown: round(x, 1) if isinstance(x, float) else x for shown, x in known.items()}


_COSTS = {
    "tracks_per_s": "tracks per second",
    "x_realtime": "times realtime",
    "decode_ms": "decoding, per track (ms)",
    "embed_ms": "embedding, per track (ms)",
    "cores": "cores busy",
    "granted": "share of the processor time it asked for",
    "load_s": "loading the model (s)",
    "peak_rss_mb": "peak memory (MB)",
    "device": "device",
}


def collection_asset(*, spec: EmbedderSpec) -> dg.AssetsDefinition:
    """Return the asset of an embedder's published collection."""
    label, name = spec.label, spec.reference

    @dg.asset(
        key=["collections", label],
        group_name="collections",
        owners=OWNERS,
        code_version=str(LAYOUT),
        kinds={"qdrant"},
        deps=[["embeddings", label], track_metadata],
        check_specs=checks.specs(["collections", label], checks.COLLECTION),
        pool=INDEX,
        automation_condition=when_something_new(["embeddings", label]),
        description=f"The tracks by their {label} vectors, ready to be searched. A new version is "
        "made beside the old, then switched in.",
    )
    @explained()
    def collection(
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        reporter: dg.ResourceParam[Reporter],
        reading: dg.ResourceParam[Reading],
    ) -> dg.MaterializeResult:
        spec, library = workspace.spec(name), reading.library(workspace.paths.library)
        given = library.tracks, spec, workspace.store, workspace.index
        manifest = publish_for(workspace.settings, *given, reporter(context))
        known = workspace.store.known(spec)
        with_vector = sum(known.get(track.content_hash) == "" for track in library.tracks)
        with workspace.index.open(label) as published:
            genres = published.facet("genre")
            agree = checks.counts_agree(published, with_vector)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": manifest.count,
                "dim": manifest.dim,
                "state": manifest.state,
                "genres": genres,
                "tracks not embedded yet": _missing(workspace, library, known),
            },
            check_results=[agree],
        )

    return collection


def _missing(workspace: Workspace, library: Library, known: Container[str]) -> str:
    """Return the number of tracks without a result, per partition, as a phrase."""
    music = Rules.of(workspace.settings).music(workspace.root)
    choose = chooser(known_partitions(workspace.paths.library), music)
    root = f"{library.root}/"
    partitions = Counter(
        choose(track.path.removeprefix(root))
        for track in library.tracks
        if track.content_hash not in known
    )
    return (
        ", ".join(f"{count} in {partition}" for partition, count in sorted(partitions.items()))
        or "none"
    )
