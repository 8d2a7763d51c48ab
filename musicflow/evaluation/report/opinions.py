"""Tables of what others say of the embedders: common opinions, and published figures."""

from collections.abc import Sequence

from musicflow.embedders.catalogue import published
from musicflow.evaluation import choice
from musicflow.evaluation.metrics import PROBE
from musicflow.evaluation.probe import FOLDS
from musicflow.evaluation.report.cells import score
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Comparison, Row


def common_opinions(rows: Sequence[Row]) -> Section:
    """Return the table of each embedder in words, and whether common opinion of it holds here."""
    table = [
        [w.embedder, w.quality or "–", w.speed or "–", w.verdict or "–"] for w in choice.words(rows)
    ]
    head = ["embedder", "quality", "speed", "common opinion"]
    return Section("In words", head, table, [f"The rule: {choice.RULE}."])


def published_figures(comparison: Comparison) -> Section | None:
    """Return published figures beside ours; None if no embedder here has any."""
    ours = {row.embedder: score(row, PROBE.name) for row in comparison.rows if row.meaningful}
    table = [
        [
            figure.embedder,
            ours[figure.embedder],
            f"{figure.accuracy / 100:.3f}",
            figure.benchmark,
            "; ".join(filter(None, (figure.setup, figure.differs))),
        ]
        for figure in published()
        if figure.embedder in ours
    ]
    if not table:
        return None
    split = "split by artist" if comparison.protocol.exclude == "artist" else "not split by artist"
    text = (
        "Published are accuracies on GTZAN, 1,000 clips of 30 s in ten genres. Ours is the probe: "
        f"logistic regression, {FOLDS} folds, {split}, on {comparison.dataset.name}. With another "
        "library or another setup, two figures are no measure of each other."
    )
    head = ["embedder", "probe here", "published", "by", "setup there"]
    return Section("Beside published figures", head, table, [text])
