"""A sweep: the table of an embedder's layers, and the sentences about it."""

from collections.abc import Mapping

from musicflow.evaluation import layers
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.report.notes import UNTRAINED_NOTE
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.statistics import Score

LAYERS_HEAD = ("layer", "dim", "P@10", "95 %", "mAP", "95 %")


def layer_lines(sweep: Sweep) -> list[list[str]]:
    """Return the scores of each layer, and of choices among them, as lines of a table."""

    def line(name: str, dim: str, scores: Mapping[str, Score]) -> list[str]:
        cells = []
        for metric in layers.METRICS:
            one = scores[metric]
            text = f"{one.value:.3f}" if sweep.meaningful else f"({one.value:.3f})"
            cells += [text, f"{one.low:.2f}–{one.high:.2f}" if sweep.meaningful else ""]
        return [name, dim, *cells]

    best = next(layer for layer in sweep.layers if layer.name == sweep.best)
    return [
        *(line(layer.name, str(layer.dim), layer.scores) for layer in sweep.layers),
        line("mean of all", "", sweep.mean),
        line("best of these tracks", "", best.scores),
        line("nested choice", "", sweep.nested),
    ]


def layer_notes(sweep: Sweep) -> list[str]:
    """Return sentences on the choice of a layer."""
    chosen = ", ".join(f"{name} ({count})" for name, count in sweep.chosen.items())
    return [
        f"Its own layer is {sweep.own}. The mean of all is that of the layers' cosines.",
        f"Best of these tracks, by mAP: {sweep.best}. The tracks that chose it also judge it, so "
        "its scores are optimistic.",
        "The nested choice scores each query by the layer that was best for the other folds. Folds "
        f"that chose each layer: {chosen}.",
        *([] if sweep.meaningful else [UNTRAINED_NOTE]),
    ]


def of_sweep(sweep: Sweep) -> Section:
    """Return the table of an embedder's layers, and the sentences about it."""
    title, text = f"Layers of {sweep.embedder}", [f"Protocol: {sweep.protocol}."]
    table = layer_lines(sweep)
    return Section(title, LAYERS_HEAD, table, [*text, *layer_notes(sweep)], [sweep.file])
