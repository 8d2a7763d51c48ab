"""The report of a comparison: JSON, Markdown, CSV, pictures, and one HTML page.

The page holds its pictures and its style, and needs no network.
"""

import base64
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from musicflow import worker
from musicflow.atomic import write_atomically
from musicflow.audio.deformations import DEFORMATIONS
from musicflow.embedders.catalogue import is_non_commercial, marked, published
from musicflow.errors import MusicflowError
from musicflow.evaluation import choice, clusters, layers
from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.labelled import MACRO, ByLabel, Label
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.metrics import FEW_SHOTS, MAIN, PROBE, V_MEASURE, Measure, Shown
from musicflow.evaluation.probe import DRAWS, FOLDS, SHOTS
from musicflow.evaluation.results import Comparison, Dataset, Row
from musicflow.evaluation.statistics import Score
from musicflow.evaluation.verdict import of_disagreement, of_tuned, verdict
from musicflow.index import fused
from musicflow.library import Problem, grouped, note_lines, skipped_line

COMPARISON = "comparison.json"

LEFT = (("embedder", "embedder"), ("weights", "weights"), ("licence", "licence"), ("dim", "dim"))
RIGHT = (("chance", "chance"), ("n_queries", "queries"), ("n_failed", "fail"))
"""Fields of a `Row` beside its scores, and the heads of their columns."""

COSTS = (
    ("embedder", "embedder"),
    ("tracks_per_s", "tracks/s"),
    ("x_realtime", "×real"),
    ("decode_ms", "decode ms"),
    ("embed_ms", "embed ms"),
    ("cores", "cores"),
    ("load_s", "load s"),
    ("peak_rss_mb", "MB"),
    ("bytes_per_vector", "bytes per vector"),
    ("query_ms", "query ms"),
    ("agreement_at_10", "agreement@10"),
    ("device", "device"),
    ("precision", "precision"),
)

VOID = "This comparison means nothing, and nothing is ranked by it. Search works all the same."

UNTRAINED_NOTE = "(in brackets: seeded weights; the quality means nothing, the speed is real)"

NON_COMMERCIAL_NOTE = "* not for commercial use"

MAP = "Tracks by t-SNE, as on the app's page Map: near ones sound alike; far distances say little."

METHOD = (
    "Each track is a query, compared with the others by cosine; a hit shares a genre. Ranges are "
    "95 % of bootstrap resamples over the queries. Ranks and scores are computed anew in each "
    "evaluation; neighbours, duplicates, cuts and map for what changed since the last."
)

_DECIMALS = {
    "tracks_per_s": 1,
    "x_realtime": 0,
    "decode_ms": 1,
    "embed_ms": 1,
    "cores": 1,
    "load_s": 1,
    "peak_rss_mb": 0,
}


_LONG = 50
"""Tables of more lines than this are folded on the page."""

_WORDY = 40
"""Characters that a last column takes without breaking its lines."""


@dataclass(frozen=True)
class Section:
    """A part of the report: a table, with the text before it."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: Sequence[str] = ()
    pictures: Sequence[str] = ()
    """Names of the page's pictures, without a suffix."""
    is_folded: bool = False
    """Whether the page shows the table only to those who ask."""


PICTURES = ("confusion", "projection", "by_genre", "quality_speed")
"""The pictures of a comparison; what takes long comes first."""

SUFFIXES = (".png", ".svg")


@contextmanager
def drawing(comparison: Comparison, folder: Path) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Draw the pictures of a report beside the context, if they can be; see `worker.beside`.

    Parameters
    ----------
    comparison
        What is drawn.
    folder
        The folder of reports.

    Yields
    ------
    callable
        A function that waits for the pictures and returns them by the names of their files.
    """
    names = [*PICTURES, *(sweep.file for sweep in layers.load_all(folder))]
    with ExitStack() as stack:
        given = [(f"drawing {name}", draw, name, comparison, folder) for name in names]
        drawn = [stack.enter_context(worker.beside(*one)) for one in given]
        yield lambda: {name: content for one in drawn for name, content in one().items()}


def draw(picture: str, comparison: Comparison, folder: Path) -> dict[str, bytes]:
    """Return a picture of a report by the names of its files; none if there is nothing to draw.

    Parameters
    ----------
    picture
        One of `PICTURES`, or the `file` of a sweep.
    comparison
        What is drawn.
    folder
        The folder of reports. A picture in it of the same evaluation is taken as it is.
    """
    files = [folder / (picture + suffix) for suffix in SUFFIXES]
    last = Comparison.load(folder / COMPARISON)
    is_drawn = last is not None and last.created == comparison.created
    if is_drawn and all(file.exists() for file in files):
        return {file.name: file.read_bytes() for file in files}
    # Imported here: it takes a second, and most commands only print.
    from musicflow.evaluation import figures, projection

    rows = comparison.rows
    match picture:
        case "confusion":
            drawn = figures.confusion(rows)
        case "projection":
            shown = [row.embedder for row in rows if row.kind == "embedder" and not row.error]
            points = projection.load(folder, shown)
            drawn = figures.projection(points) if len(points) else {}
        case "by_genre":
            drawn = figures.by_genre(rows)
        case "quality_speed":
            drawn = figures.quality_and_speed(rows)
        case _:
            [sweep] = [one for one in layers.load_all(folder) if one.file == picture]
            drawn = figures.layers(sweep)
    return {picture + suffix: content for suffix, content in drawn.items()}


def write(
    comparison: Comparison, folder: Path, pictures: Mapping[str, bytes] | None = None
) -> list[Path]:
    """Write all forms of the report into `folder`, and return their paths.

    Parameters
    ----------
    comparison
        What is reported.
    folder
        The folder of reports.
    pictures
        Those of `drawing`; they are drawn if they are not given.
    """
    if pictures is None:
        with drawing(comparison, folder) as drawn:
            pictures = drawn()
    sweeps, rows = layers.load_all(folder), comparison.rows
    grouped = [clusters.load(folder, row.embedder) for row in rows if row.meaningful]
    found = [one for one in grouped if one is not None]
    comparison.save(folder / COMPARISON)
    contents = {
        "comparison.md": markdown(comparison, sweeps, found).encode(),
        "comparison.csv": _csv(comparison).encode(),
        "comparison.html": html(comparison, pictures, sweeps, found).encode(),
        **pictures,
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / COMPARISON, *(folder / name for name in contents)]


def write_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """Write a sweep into `folder`: JSON, its picture and a page; renew the comparison's report.

    Returns
    -------
    list of Path
        The files of the sweep, its page first.
    """
    from musicflow.evaluation import figures

    sweep.save(folder)
    pictures = {sweep.file + suffix: content for suffix, content in figures.layers(sweep).items()}
    title = f"Layers of {sweep.embedder} on {sweep.dataset.name}"
    page = _page(title, _about(sweep.dataset, sweep.created), [_layers(sweep)], pictures)
    contents = {f"{sweep.file}.html": page.encode(), **pictures}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    comparison = Comparison.load(folder / COMPARISON)
    if comparison is not None:
        write(comparison, folder)
    return [*(folder / name for name in contents), folder / f"{sweep.file}.json"]


def cell(row: Row, field: str) -> str:
    """Return a field of a row as text for a table."""
    value = getattr(row, field)
    if value is None:
        return "–"
    if field == "embedder":
        return fused.short(row.embedder)
    if field == "licence":
        return marked(row.licence)
    return f"{value:.{_DECIMALS.get(field, 3)}f}" if isinstance(value, float) else str(value)


def score(row: Row, name: str) -> str:
    """Return a score as text for a table; in brackets where it means nothing."""
    value = row.value(name)
    if value is None:
        return "–"
    return f"({value:.3f})" if row.weights == "untrained" else f"{value:.3f}"


def interval(row: Row, name: str = MAIN) -> str:
    """Return a score's interval as text for a table; empty if it means nothing."""
    found = row.scores.get(name)
    if found is None or found.low is None or found.high is None or row.weights == "untrained":
        return ""
    return f"{found.low:.2f}–{found.high:.2f}"


def licence_notes(rows: Sequence[Row]) -> list[str]:
    """Return what the star behind a licence means, if there is one."""
    starred = any(is_non_commercial(row.licence) for row in rows)
    return [NON_COMMERCIAL_NOTE] if starred else []


def columns(comparison: Comparison, *shown: Shown) -> list[Measure]:
    """Return the scores by genre that a table has columns for."""
    return [m for m in comparison.measures if m.labels == "genre" and m.shown in shown]


def fusion_notes(rows: Sequence[Row]) -> list[str]:
    """Return a line per fusion or tuned space: its members, and their weights."""
    notes = []
    for row in rows:
        if row.kind == "tuned":
            notes.append(f"{fused.short(row.embedder)} = {row.embedder}")
        if row.kind != "fusion":
            continue
        shares = [f"{weight:.2f} {name}" for name, weight in row.fusion.items()]
        how = f"cosines, {' + '.join(shares)}" if shares else "reciprocal ranks"
        notes.append(f"{fused.short(row.embedder)} = {row.embedder}: {how}")
    return notes


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


def _layers(sweep: Sweep) -> Section:
    title, text = f"Layers of {sweep.embedder}", [f"Protocol: {sweep.protocol}."]
    table = layer_lines(sweep)
    return Section(title, LAYERS_HEAD, table, [*text, *layer_notes(sweep)], [sweep.file])


def sections(
    comparison: Comparison, sweeps: Sequence[Sweep] = (), found_clusters: Sequence[Clusters] = ()
) -> list[Section]:
    """Return the whole report, in order."""
    rows = comparison.rows
    scored = [row for row in rows if row.by_genre]
    found = [Section("Verdict", text=[" ".join(verdict(comparison))])]
    if comparison.doubts:
        found.append(Section("What it means", text=doubt_lines(comparison)))
    found.append(_quality(comparison))
    subgenres = [m for m in comparison.measures if m.labels == "subgenre"]
    if with_some := [row for row in rows if any(m.name in row.scores for m in subgenres)]:
        head = ["embedder", *(m.title for m in subgenres)]
        table = [
            [fused.short(row.embedder), *(score(row, m.name) for m in subgenres)]
            for row in with_some
        ]
        text = "A hit shares a subgenre; in nDCG, it counts by how many it shares."
        found.append(Section("Subgenres", head, table, [text]))
    if asked := [m for m in comparison.measures if m.labels == "words"]:
        found.append(_text_queries(rows, asked))
    found += [part for label in comparison.labels for part in by_label(comparison, label)]
    if comparison.differences:
        found.append(_differences(comparison))
    if any(FEW_SHOTS.name in row.scores or V_MEASURE.name in row.scores for row in rows):
        found.append(few_labels(rows))
    text = "Measured by the pass that made the vectors, decoding included."
    singles = [row for row in rows if row.tracks_per_s]
    if singles:
        found.append(_of_rows("Cost", COSTS, singles, [text], ["quality_speed"]))
    found.append(_words(rows))
    if beside := _published(comparison):
        found.append(beside)
    if any(row.space for row in rows):
        found.append(_health(rows))
    if any(row.corrected for row in rows):
        found.append(corrections(comparison))
    if any(row.stressed for row in rows):
        found.append(stress(rows))
    if scored:
        genres = sorted({genre for row in scored for genre in row.by_genre})
        table = [[g, *(_of_genre(row, g) for row in scored)] for g in genres]
        head = ["genre", *(fused.short(row.embedder) for row in scored)]
        picture = ["by_genre"]
        found.append(Section("P@10 by genre", head, table, pictures=picture, is_folded=True))
        text = "Rows are the genre of the query, columns those of the ten nearest, in %."
        found.append(Section("Confusion", text=[text], pictures=["confusion"]))
    found += [section for row in rows if row.tuned for section in tuned_sections(row)]
    found += map(_layers, sweeps)
    found.append(Section("Map", text=[MAP], pictures=["projection"]))
    found += map(of_clusters, found_clusters)
    found.append(_meanings(comparison))
    if lines := problem_lines(comparison.problems):
        text = f"Many of one kind are one line; {COMPARISON} lists each."
        found.append(Section("Problems", ["subject", "stage", "reason"], lines, [text]))
    if notes := counts(comparison):
        found.append(Section("Notes", text=notes))
    return found


def doubt_lines(comparison: Comparison) -> list[str]:
    """Return a sentence per doubt, behind one that says whether the comparison means anything."""
    return [*([VOID] if comparison.is_void else []), *(f"{d}" for d in comparison.doubts)]


def put_off_lines(comparison: Comparison) -> list[str]:
    """Return a sentence on the tracks that the comparison is of; none if it is up to date."""
    if comparison.as_of is None:
        return []
    return [f"All figures are {comparison.as_of}: the next evaluation is put off."]


def counts(comparison: Comparison) -> list[str]:
    """Return a sentence per kind of note, and one on files of kinds that are not read."""
    lines = [*note_lines(comparison.problems), skipped_line(comparison.dataset.skipped)]
    return [line for line in lines if line]


def markdown(
    comparison: Comparison, sweeps: Sequence[Sweep] = (), found_clusters: Sequence[Clusters] = ()
) -> str:
    """Return the report as Markdown."""
    lines = [f"# {_title(comparison)}", "", _about(comparison.dataset, comparison.created)]
    for section in sections(comparison, sweeps, found_clusters):
        if section.head or not section.pictures:
            lines += ["", f"## {section.title}"]
            lines += [part for text in section.text for part in ("", text)]
            lines += ["", *_table(section.head, section.rows)] if section.head else []
    return "\n".join(lines) + "\n"


def markdown_of(sweep: Sweep) -> str:
    """Return a sweep as Markdown: its table, and the sentences about it."""
    return markdown_of_section(_layers(sweep))


def markdown_of_section(section: Section) -> str:
    """Return the sentences and the table of a part of the report as Markdown."""
    return "\n\n".join([*section.text, "\n".join(_table(section.head, section.rows))])


def html(
    comparison: Comparison,
    pictures: Mapping[str, bytes],
    sweeps: Sequence[Sweep] = (),
    found_clusters: Sequence[Clusters] = (),
) -> str:
    """Return the report as one page that needs nothing else."""
    about = _about(comparison.dataset, comparison.created)
    return _page(_title(comparison), about, sections(comparison, sweeps, found_clusters), pictures)


def _page(
    title: str, about: str, sections: Sequence[Section], pictures: Mapping[str, bytes]
) -> str:
    parts = [f"<h1>{escape(title)}</h1><p>{escape(about)}</p>"]
    for section in sections:
        shown = [name for name in section.pictures if f"{name}.svg" in pictures]
        if not section.head and section.pictures and not shown:
            continue
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{escape(text)}</p>" for text in section.text]
        for name in shown:
            encoded = base64.b64encode(pictures[f"{name}.svg"]).decode()
            source = f"data:image/svg+xml;base64,{encoded}"
            image = f'<img alt="{escape(section.title)}" src="{source}">'
            parts.append(f'<div class="wide">{image}</div>')
        if section.head:
            parts.append(_html_table(section))
    return _PAGE.format(title=escape(title), body="\n".join(parts))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} · musicflow</title>
<style>
:root {{ color-scheme: light dark; --ink: #222; --page: #fff; --line: #ddd; --box: #eef3fd; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ddd; --page: #16181d; --line: #3a3d45; --box: #1f2734; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto;
  padding: 0 1rem; color: var(--ink); background: var(--page); overflow-wrap: anywhere; }}
h1 {{ line-height: 1.2; }}
h2 {{ margin-top: 2.5rem; }}
p {{ max-width: 50rem; }}
h2:first-of-type + p {{ padding: .8rem 1rem; font-size: 1.1rem; background: var(--box);
  border-radius: .4rem; }}
.wide {{ overflow-x: auto; overflow-wrap: normal; }}
table {{ border-collapse: collapse; font-size: 14px; line-height: 1.35;
  font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: pre; }}
th {{ vertical-align: bottom; white-space: normal; }}
th:first-child, td:first-child {{ position: sticky; left: 0; background: var(--page); }}
.wordy td:last-child {{ white-space: pre-line; min-width: 16rem; }}
img {{ display: block; margin: 1rem 0; }}
summary {{ cursor: pointer; margin: .5rem 0; }}
@media (max-width: 40rem) {{ img {{ zoom: .75; }} }}
</style>
{body}
</html>
"""


def _title(comparison: Comparison) -> str:
    return f"Embedders compared on {comparison.dataset.name}"


def _about(data: Dataset, created: str) -> str:
    counts = f"{data.tracks:,} tracks, {data.failed:,} failed"
    # Sweeps of an earlier version do not say when they were made.
    parts = [_date(created) if created else "", counts, f"fingerprint {data.fingerprint}"]
    return " · ".join(filter(None, parts))


def _date(created: str) -> str:
    """Return a time in ISO 8601 as people write it."""
    when = datetime.fromisoformat(created)
    if when.tzinfo is not None:
        when = when.astimezone(UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _quality(comparison: Comparison) -> Section:
    rows, shown = comparison.rows, columns(comparison, "console", "report")
    text = [METHOD, f"Protocol: {comparison.protocol}."]
    text += put_off_lines(comparison)
    text += [f"Library: {comparison.reading}."] if comparison.reading else []
    text += [f"Note: {comparison.protocol.note}."] if comparison.protocol.note else []
    scored = [row for row in rows if row.scores]
    shared = [one for one in RIGHT if len({cell(row, one[0]) for row in scored}) == 1]
    if shared:
        told = (f"{title} {cell(scored[0], name)}" for name, title in shared)
        text.append(f"The same in all rows: {', '.join(told)}.")
    right = [one for one in RIGHT if one not in shared]
    text += [UNTRAINED_NOTE] if any(row.weights == "untrained" for row in rows) else []
    text += licence_notes(rows)
    text += fusion_notes(rows)
    text += [
        f"{row.embedder}: {MusicflowError(row.error, row.advice)}" for row in rows if row.error
    ]
    table = [
        [
            *(cell(row, name) for name, _ in LEFT),
            *(_with_interval(row, measure) for measure in shown),
            *(cell(row, name) for name, _ in right),
        ]
        for row in rows
    ]
    titles = (*(title for _, title in LEFT), *(m.title for m in shown), *(t for _, t in right))
    return Section("Quality", titles, table, text)


def _with_interval(row: Row, measure: Measure) -> str:
    """Return a score, with its interval where differences are tested or words ask."""
    ends = interval(row, measure.name) if measure.compared or measure.labels == "words" else ""
    return score(row, measure.name) + (f"\n[{ends}]" if ends else "")


def _of_genre(row: Row, genre: str) -> str:
    """Return a row's precision at 10 for a genre, with its interval if it is known."""
    ends = row.genre_intervals.get(genre)
    value = f"{row.by_genre[genre]:.3f}"
    return value + (f"\n[{ends[0]:.2f}–{ends[1]:.2f}]" if ends else "")


def _meanings(comparison: Comparison) -> Section:
    shown = columns(comparison, "console", "report")
    shown += [MACRO] if comparison.labels else []
    table = [[m.title, m.help] for m in shown if m.help]
    return Section("Columns", ["column", "meaning"], table)


def _differences(comparison: Comparison) -> Section:
    titles = {measure.name: measure.title for measure in comparison.measures}
    table = [
        [
            fused.short(d.better),
            fused.short(d.worse),
            titles[d.metric],
            f"{d.difference:+.3f}",
            f"{d.interval[0]:+.3f} to {d.interval[1]:+.3f}",
            choice.format_p(d.p).removeprefix("= "),
            "yes" if d.p < 0.05 else "no",
        ]
        for d in comparison.differences
    ]
    head = ["better", "than", "in", "by", "95 %", "p", "real"]
    text = (
        "Of the same queries, paired. The p of a permutation test is corrected for the number of "
        "pairs (Holm)."
    )
    return Section("Which differences are real", head, table, [text])


def _words(rows: Sequence[Row]) -> Section:
    table = [
        [w.embedder, w.quality or "–", w.speed or "–", w.verdict or "–"] for w in choice.words(rows)
    ]
    head = ["embedder", "quality", "speed", "common opinion"]
    return Section("In words", head, table, [f"The rule: {choice.RULE}."])


def _published(comparison: Comparison) -> Section | None:
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


def _text_queries(rows: Sequence[Row], asked: Sequence[Measure]) -> Section:
    table = [
        [fused.short(row.embedder), *(_with_interval(row, m) for m in asked)]
        for row in rows
        if any(m.name in row.scores for m in asked)
    ]
    text = (
        "Captions, tags and names of genres as queries, of embedders with a text side. R@k is the "
        "share of a text's tracks among the first k candidates. Random is the mean of random "
        "rankings."
    )
    notes = " ".join(f"{m.title}: {m.help}" for m in asked)
    head = ["embedder", *(m.title for m in asked)]
    return Section("Words as queries", head, table, [text, notes])


def by_label(comparison: Comparison, label: Label, *shown_in: Shown) -> list[Section]:
    """Return the scores by a label beside the genre, and the mAP of each of its values."""
    title = f"By {label.name}"
    if label.error:
        return [Section(title, text=[str(MusicflowError(label.error, label.advice))])]
    shown = [*columns(comparison, *(shown_in or ("console", "report"))), MACRO]
    rows = [row for row in comparison.rows if row.by_label.get(label.name, ByLabel()).scores]
    scored = [(row, row.by_label[label.name]) for row in rows]
    shown = [m for m in shown if any(m.name in one.scores for _, one in scored)]
    chance = scored[0][1].chance if scored else None
    queries = scored[0][1].n_queries if scored else 0
    origin = f", predicted by {label.embedder}, which favours it" if label.embedder else ""
    text = [
        f"Label: {label.name}{origin}. A hit shares one with the query. {label.tracks:,} tracks "
        f"have any of {label.values:,}; {queries:,} queries"
        + ("." if chance is None else f", chance {chance:.3f}."),
        f"Protocol: {label.protocol}.",
    ]
    if label.protocol is not None and label.protocol.note:
        text.append(f"Note: {label.protocol.note}.")
    text += [of_disagreement(label, one) for one in label.disagreements]
    table = [
        [
            fused.short(row.embedder),
            *(
                _number(row, one.scores.get(m.name), with_ends=m.compared or m is MACRO)
                for m in shown
            ),
        ]
        for row, one in scored
    ]
    found = [Section(title, ["embedder", *(m.title for m in shown)], table, text)]
    if values := sorted({value for _, one in scored for value in one.by_value}):
        table = [
            [value, *(_number(row, Score(one.by_value[value])) for row, one in scored)]
            for value in values
        ]
        head = [label.name, *(fused.short(row.embedder) for row, _ in scored)]
        found.append(Section(f"mAP by {label.name}", head, table, is_folded=True))
    return found


def _number(row: Row, found: Score | None, *, with_ends: bool = False) -> str:
    """Return a score as text; in brackets where it means nothing."""
    if found is None:
        return "–"
    if row.weights == "untrained":
        return f"({found.value:.3f})"
    has_ends = with_ends and found.low is not None
    return f"{found.value:.3f}" + (f"\n[{found.low:.2f}–{found.high:.2f}]" if has_ends else "")


def of_clusters(found: Clusters) -> Section:
    """Return the table of an embedder's clusters."""
    table = [
        [
            one.name,
            f"{len(one.track_ids):,}",
            ", ".join(f"{w.word} {w.share:.0%} ({w.lift:.1f}×)" for w in one.words) or "–",
        ]
        for one in found.clusters
    ]
    words = "predicted tags" if found.source == "tags" else "genres, subgenres and moods"
    text = (
        f"Clusters of k-means, named by the {words} that tell them most from the rest (Dunning's "
        "log-likelihood ratio). Behind a word stand the share of the cluster's tracks that have "
        "it, and how many times that of all tracks. The app's page Map saves them as playlists."
    )
    head = ["cluster", "tracks", "words"]
    return Section(f"Clusters of {found.embedder}", head, table, [text])


def _health(rows: Sequence[Row]) -> Section:
    table = []
    for row in rows:
        space = row.space
        if space is not None:
            dim = "–" if space.intrinsic_dim is None else f"{space.intrinsic_dim:.1f}"
            hubs = ", ".join(f"{name} ({count})" for name, count in space.hubs[:3])
            shares = [f"{space.hubness:.2f}", f"{space.orphans:.0%}", f"{space.anisotropy:z.2f}"]
            counts = [str(space.collapsed_dims), str(space.identical)]
            table.append([fused.short(row.embedder), *shares, dim, *counts, hubs])
    head = ["embedder", "hubness", "orphans", "anisotropy", "intrinsic dim", "dead dims"]
    text = (
        "Hubness is the skewness of how often a track is among the ten nearest of others (near 0 "
        "is even). Orphans are never among them. Anisotropy is the mean cosine of two tracks. "
        "Intrinsic dim is by TwoNN. Dead dims have one value for all tracks. Same vector counts "
        "tracks with the vector of another recording."
    )
    drawn = [
        f"{row.space.drawn:,} of {fused.short(row.embedder)}"
        for row in rows
        if row.space and row.space.drawn
    ]
    if drawn:
        text += f" Tracks drawn at random: {', '.join(drawn)}."
    return Section("Health of the spaces", [*head, "same vector", "hubs"], table, [text])


def few_labels(rows: Sequence[Row]) -> Section:
    """Return the table of the probe, few shots and clusters."""
    shown = (PROBE, FEW_SHOTS, V_MEASURE)
    table = [
        [
            fused.short(row.embedder),
            *(
                score(row, one.name) + (f"\n[{ends}]" if (ends := interval(row, one.name)) else "")
                for one in shown
            ),
        ]
        for row in rows
        if any(one.name in row.scores for one in shown)
    ]
    text = (
        f"The probe learns from four fifths of the tracks, {SHOTS} shots from {SHOTS} tracks per "
        f"genre, k-means from none. Few shots are the mean of {DRAWS} draws, and V-measure is that "
        "of 10 runs of k-means with as many clusters as genres; their ranges are 95 % of the mean."
    )
    return Section("With few labels", ["embedder", *(one.title for one in shown)], table, [text])


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


def _of_rows(
    title: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Row],
    text: Sequence[str],
    pictures: Sequence[str] = (),
) -> Section:
    table = [[cell(row, field) for field, _ in columns] for row in rows]
    return Section(title, [name for _, name in columns], table, text, pictures)


def _html_table(section: Section) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in section.head)
    rows = (
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"
        for row in section.rows
    )
    body = "\n".join(rows)
    are_long = any(len(row[-1]) > _WORDY for row in section.rows)
    kind = ' class="wordy"' if are_long else ""
    table = f'<div class="wide"><table{kind}><tr>{head}</tr>\n{body}</table></div>'
    if section.is_folded or len(section.rows) > _LONG:
        return f"<details><summary>Table of {len(section.rows)} lines</summary>{table}</details>"
    return table


def problem_lines(problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    """Return problems, without notes, as (subject, stage, reason).

    Many of one kind are one line, and so are equal words of several stages on one subject.
    """
    stages: dict[tuple[str, str], list[str]] = {}
    for problem in grouped(problems):
        stages.setdefault((problem.subject, problem.reason), []).append(problem.stage)
    return [(what, ", ".join(where), why) for (what, why), where in stages.items()]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _csv(comparison: Comparison) -> str:
    """Return all rows with all scores and the ends of their intervals."""
    skipped = {"scores", "by_genre", "genre_intervals", "confusion", "space", "corrected"}
    skipped |= {"by_label", "stressed", "fusion", "tuned"}
    names = [field.name for field in fields(Row) if field.name not in skipped]
    scored = [
        m.name for m in comparison.measures if any(m.name in r.scores for r in comparison.rows)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = (f"{name}{end}" for name in scored for end in ("", "_low", "_high"))
    writer.writerow([*names, *ends])
    for row in comparison.rows:
        found = [row.scores.get(name) for name in scored]
        values = (v for one in found for v in ((one.value, one.low, one.high) if one else [""] * 3))
        known = {name: getattr(row, name) for name in names} | {"faults": " ".join(row.faults)}
        writer.writerow([*known.values(), *values])
    return text.getvalue()
