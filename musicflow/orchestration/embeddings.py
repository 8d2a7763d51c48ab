"""`embeddings/<model>` and `collections/<model>`: one of each for every embedder.

The embedders do not depend on one another, so one can be materialized, and can fail, alone.
Both assets do only what is not done yet: vectors are kept by content, and a collection that
would come out the same is not built again.
"""

import dagster as dg
import pandas as pd

from musicflow.embedders import EmbedderSpec, WeightsError
from musicflow.ingestion import build_collection, embed_tracks
from musicflow.library import Library
from musicflow.orchestration.library import track_metadata
from musicflow.orchestration.resources import Reporter, Workspace


def embeddings_asset(*, spec: EmbedderSpec) -> dg.AssetsDefinition:
    """The vectors of one embedder."""

    @dg.asset(
        key=["embeddings", spec.label],
        group_name="embeddings",
        kinds={"python", "parquet"},
        deps=[track_metadata],
        description=f"A vector of {spec.dim} dimensions for each track: {spec.summary}.",
    )
    def embeddings(
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        reporter: dg.ResourceParam[Reporter],
    ) -> dg.MaterializeResult:
        library = Library.load(workspace.paths.library)
        cache = workspace.settings.cache
        try:
            done = embed_tracks(library.tracks, spec, workspace.store, cache, reporter(context))
        except WeightsError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        made = [done.rows[t.content_hash] for t in library.tracks if t.content_hash in done.rows]
        vectors = [row for row in made if row.vector is not None]
        wall_s = sum(row.wall_s for row in vectors)
        problems = [(p.subject, p.severity, p.reason) for p in done.problems]
        frame = pd.DataFrame(problems, columns=["file", "severity", "reason"])
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(vectors),
                "embedded now": done.embedded,
                "current already": done.current,
                "failed": sum(p.severity == "error" for p in done.problems),
                "dim": spec.dim,
                "weights": spec.weights_state,
                "spec": spec.hash,
                "tracks a second": round(len(vectors) / wall_s, 2) if wall_s else 0.0,
                "times realtime": round(sum(r.audio_s for r in vectors) / wall_s, 1)
                if wall_s
                else 0.0,
                "peak memory (MB)": max((r.peak_rss_mb for r in vectors), default=0.0),
                "device": vectors[0].device if vectors else "",
                "problems": dg.MetadataValue.md(
                    "none" if frame.empty else frame.head(50).to_markdown(index=False)
                ),
            }
        )

    return embeddings


def collection_asset(*, spec: EmbedderSpec) -> dg.AssetsDefinition:
    """The published collection of one embedder."""

    @dg.asset(
        key=["collections", spec.label],
        group_name="collections",
        kinds={"qdrant"},
        deps=[["embeddings", spec.label]],
        description=f"The tracks by their {spec.label} vectors, ready to be searched.",
    )
    def collection(workspace: Workspace) -> dg.MaterializeResult:
        library = Library.load(workspace.paths.library)
        manifest = build_collection(library.tracks, spec, workspace.store, workspace.index)
        with workspace.index.open(spec.label) as published:
            genres = published.facet("genre")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": manifest.count,
                "dim": manifest.dim,
                "state": manifest.state,
                "genres": genres,
            }
        )

    return collection
