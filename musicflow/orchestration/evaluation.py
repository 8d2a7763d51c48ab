"""The assets `retrieval_evaluation` and `embedder_comparison`.

The evaluation only measures. The comparison logs to MLflow and writes the report. So it can be
repeated without measuring again, when MLflow was down for example.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import dagster as dg
import filelock

from musicflow.errors import words_of
from musicflow.evaluation import Comparison, report
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.state import VERSION
from musicflow.evaluation.verdict import verdict
from musicflow.library import Progress, shown_as
from musicflow.orchestration import checks, pictures
from musicflow.orchestration.automation import when_something_new
from musicflow.orchestration.failures import explained
from musicflow.orchestration.resources import OWNERS, Reading, Reporter, Workspace
from musicflow.pipeline.evaluate import MEASURED, evaluate_library
from musicflow.recorded import is_recorded

_log = logging.getLogger("musicflow")


def retrieval_evaluation_asset(
    *, labels: Sequence[str], after: Sequence[dg.AssetKey] = ()
) -> dg.AssetsDefinition:
    """Return the asset of the scores of the embedders with these labels, and of other assets."""

    @dg.asset(
        group_name="evaluation",
        owners=OWNERS,
        code_version=str(VERSION),
        kinds={"python"},
        deps=[*(["collections", label] for label in labels), *after],
        check_specs=checks.specs("retrieval_evaluation", checks.EVALUATION),
        automation_condition=when_something_new(),
    )
    @explained()
    def retrieval_evaluation(
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        reporter: dg.ResourceParam[Reporter],
        reading: dg.ResourceParam[Reading],
    ) -> dg.MaterializeResult:
        """Score each embedder and their fusions.

        An evaluation that is up to date is not made again.
        """
        library = reading.library(workspace.paths.library)
        given = library, workspace.specs, workspace.store, workspace.index
        comparison = evaluate_library(*given, workspace.settings, reporter(context))
        scores = {row.embedder: row.value(MAIN) for row in comparison.rows}
        last = Comparison.load(workspace.paths.reports / report.COMPARISON)
        without = {row.embedder: row.error for row in comparison.rows if row.error}
        return dg.MaterializeResult(
            metadata={
                **{f"precision@10, {name}": s for name, s in scores.items() if s is not None},
                "left out": without or "none",
                "state": str(comparison.as_of or "all tracks"),
                "report": dg.MetadataValue.md(report.markdown(comparison)),
            },
            check_results=list(checks.evaluation(comparison, last)),
        )

    return retrieval_evaluation


@dg.asset(
    group_name="evaluation",
    owners=OWNERS,
    code_version=str(VERSION),
    kinds={"mlflow"},
    deps=["retrieval_evaluation"],
    automation_condition=when_something_new(),
)
@explained()
def embedder_comparison(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    reporter: dg.ResourceParam[Reporter],
) -> dg.MaterializeResult:
    """Log the comparison to MLflow and write the report into the home.

    A comparison in the state of the last one is not logged again.
    """
    home = workspace.paths
    comparison = Comparison.load(home.reports / MEASURED)
    if comparison is None:
        reason = "nothing has been measured: materialize retrieval_evaluation first"
        raise dg.Failure(reason, allow_retries=False)
    # Of two runs that measured the same at once, the second finds what the first has logged.
    with filelock.FileLock(home.reports / ".lock"):
        last = Comparison.load(home.reports / report.COMPARISON)
        if last is not None and last.is_of(comparison) and is_recorded(home, last):
            # What was put off has the figures that MLflow has, and problems of now.
            comparison = replace(last, as_of=comparison.as_of, problems=comparison.problems)
            if comparison != last:
                report.write(comparison, home.reports)
        else:
            comparison = _logged(context, workspace, comparison, reporter(context))
    _link(context, workspace, comparison)
    return dg.MaterializeResult(
        metadata={
            "verdict": " ".join(verdict(comparison)),
            "report": dg.MetadataValue.md(report.markdown(comparison)),
            "quality and speed": _picture(home.reports / "quality_speed.png"),
            "by genre": _picture(home.reports / "by_genre.png"),
            "measured": comparison.created,
            **_mlflow_run(workspace, comparison),
            "mlflow store": home.tracking_uri,
        }
    )


def _logged(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    comparison: Comparison,
    progress: Progress,
) -> Comparison:
    home = workspace.paths
    # Imported here: it takes half a second, and a run without changes does not need it.
    from musicflow import tracking

    tags = _tags(context, workspace)
    with report.drawing(comparison, home.reports) as drawn:
        # Files are the last that MLflow is given.
        files = cache(lambda: report.write(comparison, home.reports, drawn()))
        try:
            logged = shown_as(
                "Logging to MLflow",
                lambda: tracking.log_comparison(home, comparison, workspace.specs, files, tags),
                progress,
            )
        except Exception as error:
            # Whatever keeps MLflow from taking them, the figures are there: a run is not lost.
            logged = comparison
            files()
            _log.warning(
                "MLflow at %s did not take the figures: %s. They are kept, and logged by the next "
                "run.",
                *(home.tracking_uri, words_of(error)),
            )
    logged.save(home.reports / report.COMPARISON)
    return logged


def _tags(context: dg.AssetExecutionContext, workspace: Workspace) -> dict[str, str]:
    page = f"{workspace.settings.dagster_url}/runs/{context.run_id}"
    return {
        "dagster_run_id": context.run_id,
        "mlflow.note.content": f"Measured by the [Dagster run {context.run_id[:8]}]({page}).",
    }


def _link(context: dg.AssetExecutionContext, workspace: Workspace, comparison: Comparison) -> None:
    """Let the run's page lead to the comparison and to MLflow's run."""
    page = f"{workspace.settings.dagster_url}/assets/{context.asset_key.to_user_string()}"
    links = {"musicflow/comparison": page}
    if comparison.mlflow_run_id is not None:
        links["musicflow/mlflow"] = _mlflow_page(workspace, comparison)
    context.instance.add_run_tags(context.run_id, links)


def _mlflow_run(workspace: Workspace, comparison: Comparison) -> dict[str, dg.MetadataValue]:
    if comparison.mlflow_run_id is None:
        words = "not logged, because MLflow did not take the figures; the next run logs them"
        return {"mlflow run": dg.MetadataValue.text(words)}
    # A bare address cannot be broken into lines: it would widen the table, and cut the verdict off.
    link = f"[{comparison.mlflow_run_id[:8]}]({_mlflow_page(workspace, comparison)})"
    return {"mlflow run": dg.MetadataValue.md(link)}


def _mlflow_page(workspace: Workspace, comparison: Comparison) -> str:
    uri = workspace.paths.tracking_uri
    base = (uri if uri.startswith("http") else workspace.settings.mlflow_url).rstrip("/")
    place = f"{comparison.mlflow_experiment_id}/runs/{comparison.mlflow_run_id}"
    return f"{base}/#/experiments/{place}"


def _picture(path: Path) -> dg.MarkdownMetadataValue:
    return pictures.shown(path.read_bytes(), path.stem)
