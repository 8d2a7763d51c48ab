"""`retrieval_evaluation` and `embedder_comparison`: the figures, and where they are kept.

The evaluation only measures. The comparison logs to MLflow and writes the report, so that it
can be made again, when MLflow was down say, without measuring again.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from musicflow import tracking
from musicflow.evaluation import Comparison, compare, report
from musicflow.library import Library
from musicflow.orchestration.resources import Workspace

MEASURED = "evaluation.json"


def retrieval_evaluation_asset(*, labels: Sequence[str]) -> dg.AssetsDefinition:
    """The figures of the embedders with these labels."""

    @dg.asset(
        group_name="evaluation",
        kinds={"python"},
        deps=[["collections", label] for label in labels],
    )
    def retrieval_evaluation(workspace: Workspace) -> dg.MaterializeResult:
        """How well each embedder brings the tracks of a genre together."""
        library = Library.load(workspace.paths.library)
        exclude = workspace.settings.exclude
        comparison = compare(library, workspace.specs, workspace.store, workspace.index, exclude)
        comparison.save(workspace.paths.reports / MEASURED)
        scores = {row.embedder: row.precision_at_10 for row in comparison.rows}
        return dg.MaterializeResult(
            metadata={
                **{f"precision@10, {name}": s for name, s in scores.items() if s is not None},
                "report": dg.MetadataValue.md(report.markdown(comparison)),
            }
        )

    return retrieval_evaluation


@dg.asset(group_name="evaluation", kinds={"mlflow"}, deps=["retrieval_evaluation"])
def embedder_comparison(
    context: dg.AssetExecutionContext, workspace: Workspace
) -> dg.MaterializeResult:
    """The comparison in MLflow and as a report under the home."""
    home = workspace.paths
    comparison = Comparison.load(home.reports / MEASURED)
    if comparison is None:
        raise dg.Failure("nothing has been measured: materialize retrieval_evaluation first")
    files = report.write(comparison, home.reports)
    tags = {"dagster_run_id": context.run_id}
    comparison = tracking.log_comparison(home, comparison, workspace.specs, files, tags)
    comparison.save(home.reports / report.COMPARISON)
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(report.markdown(comparison)),
            "quality and speed": _picture(home.reports / "quality_speed.png"),
            "by genre": _picture(home.reports / "by_genre.png"),
            "mlflow run": comparison.mlflow_run_id or "",
            "mlflow store": tracking.tracking_uri(home),
        }
    )


def _picture(path: Path) -> dg.MarkdownMetadataValue:
    data = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{data})")
