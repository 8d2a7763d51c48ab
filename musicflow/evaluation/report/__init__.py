"""The report of a comparison: JSON, Markdown, CSV, pictures, and one HTML page.

Tables are sections, which know nothing of the form that they are read in.

============ ==========================================================
`contents`   the title, and all sections in order
`scores`     tables of scores by genre, of words as queries, and of differences
`labels`     tables of scores by labels beside the genre
`cost`       the table of costs
`opinions`   common opinions and published figures, beside ours
`spaces`     tables of the spaces' health and of clusters
`changes`    before and after: hubness corrected, queries deformed, a space tuned
`sweeps`     the table of an embedder's layers
`section`    what a section is
`cells`      fields and scores of a row as text
`notes`      sentences below tables, and the lines of problems
`page`       the form of HTML, with its style
`plain`      the forms of Markdown and CSV
`pictures`   which pictures there are, and when they are drawn
`files`      all of it into the folder of reports
============ ==========================================================
"""

from musicflow.evaluation.report.cells import cell, interval, score
from musicflow.evaluation.report.changes import corrections, tuned_sections
from musicflow.evaluation.report.contents import sections
from musicflow.evaluation.report.files import write, write_sweep
from musicflow.evaluation.report.labels import by_label
from musicflow.evaluation.report.notes import (
    UNTRAINED_NOTE,
    counts,
    doubt_lines,
    fusion_notes,
    licence_notes,
    problem_lines,
    put_off_lines,
)
from musicflow.evaluation.report.page import html
from musicflow.evaluation.report.pictures import drawing
from musicflow.evaluation.report.plain import markdown, markdown_of, markdown_of_section
from musicflow.evaluation.report.scores import columns, few_labels
from musicflow.evaluation.report.spaces import of_clusters
from musicflow.evaluation.report.sweeps import LAYERS_HEAD, layer_lines, layer_notes
from musicflow.evaluation.results import COMPARISON

__all__ = [
    "COMPARISON",
    "LAYERS_HEAD",
    "UNTRAINED_NOTE",
    "by_label",
    "cell",
    "columns",
    "corrections",
    "counts",
    "doubt_lines",
    "drawing",
    "few_labels",
    "fusion_notes",
    "html",
    "interval",
    "layer_lines",
    "layer_notes",
    "licence_notes",
    "markdown",
    "markdown_of",
    "markdown_of_section",
    "of_clusters",
    "problem_lines",
    "put_off_lines",
    "score",
    "sections",
    "tuned_sections",
    "write",
    "write_sweep",
]
