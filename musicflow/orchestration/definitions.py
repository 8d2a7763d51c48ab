"""Dagster's definitions for the embedders that the home's settings name.

::

    raw_audio ─→ embeddings/<model> ─→ collections/<model>
         └─→ track_metadata ────────────↗      ↓ (of all models)
                embedder_comparison ← retrieval_evaluation

Where the settings name tuned spaces, ``tuned_spaces`` stands between collections and evaluation.
Files and vectors are partitioned as the library is; the later assets take what is there. Other
embedders in the settings show up with *Reload definitions*.
"""

from collections.abc import Sequence

import dagster as dg

from musicflow.embedders import EmbedderSpec, spec_or_stand_in
from musicflow.orchestration.alerts import alert
from musicflow.orchestration.automation import (
    automation,
    ingest,
    library_changes,
    refresh,
    relabel,
)
from musicflow.orchestration.embeddings import collection_asset, embeddings_asset
from musicflow.orchestration.evaluation import embedder_comparison, retrieval_evaluation_asset
from musicflow.orchestration.layers import layers
from musicflow.orchestration.library import raw_audio, track_metadata
from musicflow.orchestration.nightly import nightly
from musicflow.orchestration.resources import EMBEDDING, GPU, resources_of
from musicflow.orchestration.tuned import tuned_asset
from musicflow.orchestration.waiting import hear_interrupts
from musicflow.settings import Device, Settings


def assets_for(
    names: Sequence[str], device: Device = "auto", tuned: Sequence[str] = ()
) -> list[dg.AssetsDefinition]:
    """Return all assets for the embedders and tuned spaces of these names, on a device."""
    specs = {spec.label: spec for spec in map(spec_or_stand_in, names)}
    models = [
        asset
        for spec in specs.values()
        for asset in (
            embeddings_asset(spec=spec, pool=pool_of(spec, device)),
            collection_asset(spec=spec),
        )
    ]
    learned = [tuned_asset(labels=list(specs))] if tuned else []
    evaluation = [
        retrieval_evaluation_asset(labels=list(specs), after=[one.key for one in learned]),
        embedder_comparison,
    ]
    return [raw_audio, track_metadata, *models, *learned, *evaluation]


def pool_of(spec: EmbedderSpec, device: Device) -> str:
    """Return the pool of an embedder: the GPU's own, or that of the processor."""
    return GPU if device in ("cuda", "mps") and spec.weights is not None else EMBEDDING


def definitions_for(
    names: Sequence[str], device: Device = "auto", tuned: Sequence[str] = ()
) -> dg.Definitions:
    """Return all that Dagster is shown, for the embedders and tuned spaces of these names."""
    return dg.Definitions(
        assets=assets_for(names, device, tuned),
        jobs=[ingest, relabel, refresh, layers],
        schedules=[nightly],
        sensors=[library_changes, automation, alert],
        resources=resources_of(),
        # One process per run, one step at a time: embedders that share the processor would not be
        # timed fairly, and starting a process takes longer than most steps.
        executor=dg.in_process_executor,
    )


hear_interrupts()
_settings = Settings()
defs = definitions_for(_settings.embedders, _settings.device, _settings.tuned)
