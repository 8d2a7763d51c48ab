"""Tables of figures before and after: hubness corrected, queries deformed, a space tuned."""

from collections.abc import Sequence

from musicflow.audio.deformations import DEFORMATIONS
from musicflow.evaluation import choice
from musicflow.evaluation.report.cells import score
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Comparison, Row
from musicflow.evaluation.statistics import Score
from musicflow.evaluation.verdict import of_tuned
from musicflow.index import fused


def corrections(comparison: Comparison) -> Section:
    """Return the table of figures with hubness corrected."""
    titles = {measure.name: measure.title for measure in comparison.measures}
    names = [m.name for m in comparison.measures if m.compared and m.labels == "genre"]
    table = []
    for row in comparison.rows:
        for one in row.corrected:
            cells = [fused.short(row.embedder), one.correction]
            for name in names:
                change, after = one.changes[name], one.scores[name].value
                low, high = change.interval
                told = f"{change.change:+.3f} [{low:+.3f} to {high:+.3f}]"
                p = choice.format_p(change.p)
                before = f"{after - change.change:.3f}" if one.drawn else score(row, name)
                cells.append(f"{before} → {after:.3f}\n{told}\np {p}")
            hubs = f"{one.hubness[0]:.2f} → {one.hubness[1]:.2f}"
            orphans = f"{one.orphans[0]:.0%} → {one.orphans[1]:.0%}"
            most = "\n".join(f"{name} ({a} → {b})" for name, a, b in one.hubs)
            table.append([*cells, hubs, orphans, most])
    text = (
        "Each embedder ranked by its cosines, then with a correction that leaves no track near to "
        "everything: csls (cross-domain similarity local scaling) and mutual proximity. Changes "
        "are of the same queries, paired; p is corrected for the number of rows (Holm). Hubness, "
        "orphans and hubs are those of the first ten candidates, before and after. Searches take "
        "the same, such as musicflow search --correct csls."
    )
    if drawn := max((one.drawn for row in comparison.rows for one in row.corrected), default=0):
        text += f" All are those of {drawn:,} of the queries, drawn at random."
    of_scores = [titles[name] for name in names]
    head = ["embedder", "correction", *of_scores, "hubness", "orphans", "hubs"]
    return Section("Hubness corrected", head, table, [text])


def stress(rows: Sequence[Row]) -> Section:
    """Return the table of figures with deformed queries."""
    table = []
    for row in rows:
        for one in row.stressed:
            low, high = one.change.interval
            table.append(
                [
                    fused.short(row.embedder),
                    DEFORMATIONS[one.deformation][0],
                    f"{one.before.value:.3f} → {one.after.value:.3f}",
                    f"{one.change.change:+z.3f} [{low:+z.3f} to {high:+z.3f}]",
                    choice.format_p(one.change.p).removeprefix("= "),
                    f"{one.kept:.2f}",
                    f"{one.first:.2f}",
                ]
            )
    queries = max(one.queries for row in rows for one in row.stressed)
    text = (
        f"The query is deformed, the library is not: {queries} tracks, of longer ones the middle "
        "30 seconds, each as it is and deformed. Changes are of the same queries, paired; p is "
        "corrected for the number of rows (Holm). Overlap is the share of the ten nearest that "
        "stay. Own first is how often the track itself, as it is, is the nearest of all."
    )
    head = ["embedder", "query", "P@10", "change", "p", "overlap@10", "own first"]
    return Section("Deformed queries", head, table, [text])


def tuned_sections(row: Row) -> list[Section]:
    """Return what a tuned space brought, what it did to other labels, and what moved."""
    tuned = row.tuned
    assert tuned is not None
    table = [
        [
            name,
            *(
                text
                for contest in (tuned.known, tuned.new)
                for text in _cells(contest.scores.get(name))
            ),
        ]
        for name in tuned.known.scores
    ]
    amount = f"{tuned.learned_from} {tuned.kind}"
    amount += f" in {tuned.classes} classes" if tuned.classes else ""
    shrinkage = "as Ledoit and Wolf say" if tuned.shrinkage is None else f"{tuned.shrinkage:g}"
    text = [
        of_tuned(row),
        f"Learned from {amount}; {100 * tuned.weight:.0f} % of a cosine is what was learned "
        f"(chosen in folds; shrinkage: {shrinkage}). Each query is ranked in a space that learned "
        "nothing from it, its copies and, by the protocol, its artist and album. With: the other "
        "tracks that were learned from are among its candidates. Without: they are not, as in a "
        "library of new songs; fewer candidates make all figures lower.",
    ]
    head = ["space", f"{tuned.measure}, with", "95 %", "without", "95 %"]
    found = [Section(f"Tuned space {row.embedder}", head, table, text)]
    others = [[name, *_cells(a), *_cells(b)] for name, (a, b) in tuned.others.items()]
    if tuned.hubness is not None:
        before, after = tuned.hubness
        others.append(["hubness", f"{before:.2f}", "", f"{after:.2f}", ""])
    if others:
        head = ["P@10 by", "before", "95 %", "after", "95 %"]
        text = ["The same embedders side by side before and after tuning, in the same folds."]
        found.append(Section(f"What {row.embedder} did to the rest", head, others, text))
    moved = [
        [what, one.query, one.track, str(one.before), str(one.after)]
        for what, some in (("closer", tuned.closer), ("away", tuned.away))
        for one in some
    ]
    if moved:
        head = ["moved", "query", "track", "rank before", "rank after"]
        text = ["The greatest changes among the ten nearest of a query, one per query, to hear."]
        name = f"What moved in {row.embedder}"
        found.append(Section(name, head, moved, text, is_folded=True))
    return found


def _cells(score: Score | None) -> list[str]:
    if score is None or score.low is None or score.high is None:
        return ["–", ""]
    return [f"{score.value:.3f}", f"{score.low:.2f}–{score.high:.2f}"]
