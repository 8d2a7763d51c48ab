"""The verdict of a comparison: which embedder to take, how sure that is, and at what cost."""

from collections.abc import Sequence

from musicflow.evaluation.choice import format_p
from musicflow.evaluation.labelled import Disagreement, Label
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.results import Comparison, Row
from musicflow.evaluation.statistics import SURE, Difference


def verdict(comparison: Comparison) -> list[str]:
    """Return the verdict in at most three sentences, and one per reversed order and tuned space.

    The choice goes by P@10. A fusion costs all its members, so it is chosen only where it is
    surely better than the best embedder alone.

    Returns
    -------
    list of str
        Which to take, and how good it is; how sure that is; cost and licence. One sentence where
        the comparison allows no choice.
    """
    if comparison.is_void:
        return ["These figures allow no choice: the doubts below say why."]
    able = [row for row in comparison.rows if row.meaningful and MAIN in row.scores]
    ranked = sorted(able, key=lambda row: -row.scores[MAIN].value)
    singles = [row for row in ranked if row.kind == "embedder"]
    if not singles:
        return ["No embedder with trained weights was compared: there is no choice to make."]
    best = singles[0]
    score, chance = best.scores[MAIN], best.chance
    baselines = [row for row in comparison.rows if row.kind == "baseline"]
    random = [row.scores[MAIN].value for row in baselines if MAIN in row.scores]
    # Of few tracks, the ten nearest may be the same in any order.
    is_no_better = score.value <= max(random, default=-1.0)
    if chance is not None and score.low is not None and (score.low <= chance or is_no_better):
        return [
            f"No embedder is surely better than a random order: the best, {best.embedder}, has "
            f"P@10 {score.value:.3f} [{score.low:.2f}–{score.high:.2f}], chance is {chance:.3f}"
            + "".join(f", and a random ranking has {value:.3f}" for value in random)
            + ". Of few tracks, P@1 and mAP tell more."
        ]
    fusions = (row for row in ranked if row.kind == "fusion")
    best = next((row for row in fusions if _is_surely_better(comparison, row, best)), best)
    others = [row for row in singles if row is not best]
    on_tuned = [of_tuned(row) for row in comparison.rows if row.tuned is not None]
    on_labels = [
        of_disagreement(label, one)
        for label in comparison.labels
        for one in label.disagreements
        if one.code == "reversed"
    ]
    about = [_quality(best), *_certainty(comparison, best, others), _cost(best)]
    return [*about, *on_labels, *on_tuned]


def of_disagreement(label: Label, one: Disagreement) -> str:
    """Return a disagreement of a label with the genre as one sentence."""
    mine, other = one.by_label, one.by_genre
    sure = "" if one.code == "reversed" else "; not both are sure"
    return (
        f"By {label.name}, {mine.better} is better than {mine.worse} (P@10 {mine.difference:+.3f}, "
        f"p {format_p(mine.p)}), and by genre {other.better} is ({other.difference:+.3f}, p "
        f"{format_p(other.p)}){sure}."
    )


def of_tuned(row: Row) -> str:
    """Return whether a tuned space is recommended, in one sentence.

    It is where it is surely better, by its own label, than the best embedder alone and the fusion.
    """
    name, tuned = row.embedder, row.tuned
    assert tuned is not None
    what = f"{tuned.measure} by {tuned.label}"
    if name not in tuned.known.scores:
        return f"{name} could not be measured: no two tracks share its label."
    own = tuned.known.scores[name].value
    others = [(score.value, one) for one, score in tuned.known.scores.items() if one != name]
    if not others:
        return f"{name} is not recommended: {what} {own:.3f} has nothing to be compared with."
    best = max(others)
    also = "" if tuned.new.is_surely_won_by(name) else ", though not surely among new songs alone"
    if row.meaningful and tuned.is_recommended(name):
        return (
            f"Search with {name}: {what} {own:.3f}, surely better than {best[1]} "
            f"({best[0]:.3f}){also}."
        )
    return (
        f"{name} is not recommended: {what} {own:.3f} is not surely better than {best[1]} "
        f"({best[0]:.3f})."
    )


def _is_surely_better(comparison: Comparison, one: Row, other: Row) -> bool:
    found = _difference(comparison.differences, one, other)
    return found is not None and found.better == one.embedder and found.p < SURE


def _quality(best: Row) -> str:
    score = best.scores[MAIN]
    interval = "" if score.low is None else f" [{score.low:.2f}–{score.high:.2f}]"
    chance = f"; a random order has {best.chance:.3f}" if best.chance is not None else ""
    return f"Take {best.embedder}: P@10 {score.value:.3f}{interval}{chance}."


def _certainty(comparison: Comparison, best: Row, others: Sequence[Row]) -> list[str]:
    if not others:
        return []
    second = others[0]
    found = _difference(comparison.differences, best, second)
    if found is None:
        apart = best.scores[MAIN].value - second.scores[MAIN].value
        return [f"{second.embedder} comes next, {apart:.3f} lower; that was not tested."]
    low, high = found.interval
    sure = "surely" if found.p < SURE else "but not surely"
    return [
        f"It is {sure} better than {second.embedder}, the next embedder: by "
        f"{found.difference:.3f} [{low:.2f}–{high:.2f}], p {format_p(found.p)}."
    ]


def _cost(best: Row) -> str:
    parts = []
    if best.tracks_per_s:
        parts.append(f"it embeds {3600 * best.tracks_per_s:,.0f} tracks an hour on this machine")
    if best.peak_rss_mb:
        parts.append(f"takes {best.peak_rss_mb / 1000:.1f} GB of memory")
    licence = f"licence: {best.licence}" if best.licence else "it needs no licence for weights"
    cost = " and ".join(parts)
    return f"{cost[:1].upper()}{cost[1:]}; {licence}." if cost else f"{licence.capitalize()}."


def _difference(found: Sequence[Difference], one: Row, other: Row) -> Difference | None:
    names = {one.embedder, other.embedder}
    return next((d for d in found if d.metric == MAIN and {d.better, d.worse} == names), None)
