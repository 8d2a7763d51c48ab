"""Everything Dagster is shown.

::

    raw_audio → track_metadata → embeddings/<model> → collections/<model>
                                                            ↓ (of all models)
                             embedder_comparison ← retrieval_evaluation
"""

import dagster as dg

from musicflow.orchestration.embeddings import embedder_assets
from musicflow.orchestration.evaluation import embedder_comparison, retrieval_evaluation
from musicflow.orchestration.library import raw_audio, track_metadata
from musicflow.orchestration.resources import Workspace, log_progress

ASSETS = [raw_audio, track_metadata, *embedder_assets(), retrieval_evaluation, embedder_comparison]

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description="Bring everything up to date with the library.",
)

nightly = dg.ScheduleDefinition(
    name="nightly",
    job=refresh,
    cron_schedule="0 3 * * *",
    description="Every night at three. Switch it on in the Dagster UI.",
)

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[refresh],
    schedules=[nightly],
    resources={"workspace": Workspace(), "reporter": log_progress},
    # One step at a time: embedders that share the processor would not be timed fairly.
    executor=dg.multiprocess_executor.configured({"max_concurrent": 1}),
)
