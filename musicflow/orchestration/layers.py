"""The job `layers`: every layer of an embedder, measured when a person asks for it.

It is no asset: no run of everything should measure layers again.
"""

import dagster as dg
from pydantic import Field

from musicflow.evaluation import report
from musicflow.orchestration import pictures
from musicflow.orchestration.failures import explained
from musicflow.orchestration.resources import EMBEDDING, Reporter, Workspace
from musicflow.pipeline.layers import sweep_layers


class LayersConfig(dg.Config):
    """The fields of the job in the launchpad."""

    embedder: str = Field("musicnn", description="The name or address of the embedder.")


@dg.op(pool=EMBEDDING)
@explained()
def measure_layers(
    context: dg.OpExecutionContext,
    config: LayersConfig,
    workspace: Workspace,
    reporter: dg.ResourceParam[Reporter],
) -> None:
    """Embed the library by every layer in one pass, and measure each."""
    # Imported here: it takes half a second, and Dagster reads this module often.
    from musicflow import tracking

    home, spec = workspace.paths, workspace.spec(config.embedder)
    sweep = sweep_layers(spec, workspace.settings, reporter(context))
    files = report.write_sweep(sweep, home.reports)
    tracking.log_sweep(home, sweep, spec, files)
    picture = home.reports / f"{sweep.file}.png"
    metadata = {
        "scores": dg.MetadataValue.md(report.markdown_of(sweep)),
        "layers": pictures.shown(picture.read_bytes(), picture.stem),
        "report": dg.MetadataValue.path(picture.with_suffix(".html")),
    }
    context.log_event(dg.AssetObservation(["layers", sweep.embedder], metadata=metadata))


@dg.job(name="Layers")
def layers() -> None:
    """Measure every layer of an embedder in one pass."""
    measure_layers()
