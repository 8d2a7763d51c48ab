"""The asset of tuned spaces: learned from the labels, and published."""

from collections.abc import Sequence

import dagster as dg

from musicflow.errors import words_of
from musicflow.orchestration.automation import when_something_new
from musicflow.orchestration.failures import explained
from musicflow.orchestration.library import track_metadata
from musicflow.orchestration.resources import INDEX, OWNERS, Reading, Reporter, Workspace
from musicflow.pipeline.tune import all_wanted, tune
from musicflow.tuning.space import VERSION

TUNED_SPACES = "tuned_spaces"


def tuned_asset(*, labels: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset of the tuned spaces, which follow from the collections of these labels."""

    @dg.asset(
        name=TUNED_SPACES,
        group_name="collections",
        owners=OWNERS,
        code_version=str(VERSION),
        kinds={"qdrant", "scikitlearn"},
        deps=[*(["collections", label] for label in labels), track_metadata],
        pool=INDEX,
        automation_condition=when_something_new(),
    )
    @explained()
    def tuned_spaces(
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        reporter: dg.ResourceParam[Reporter],
        reading: dg.ResourceParam[Reading],
    ) -> dg.MaterializeResult:
        """Learn the tuned spaces that the settings name, and publish them.

        A space whose labels and vectors did not change is not learned again.
        """
        settings, library = workspace.settings, reading.library(workspace.paths.library)
        given = library.tracks, workspace.store, workspace.index, settings, reporter(context)
        counts, failed = {}, {}
        for one in all_wanted(settings):
            try:
                counts[one.name] = tune(one, *given).count
            except Exception as error:
                # One space's fault must not cost the others, nor the evaluation.
                failed[one.name] = words_of(error)
                context.log.warning(f"{one.name}: {failed[one.name]}")
        return dg.MaterializeResult(metadata={**counts, "left out": failed or "none"})

    return tuned_spaces
