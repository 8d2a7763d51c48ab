"""The report as one HTML page. It holds its pictures and its style, and needs no network."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.report.contents import origin_of, sections, title_of
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Comparison

_LONG = 50
"""Tables of more lines than this are folded on the page."""

_WORDY = 40
"""Characters that a last column takes without breaking its lines."""


def html(
    comparison: Comparison,
    pictures: Mapping[str, bytes],
    sweeps: Sequence[Sweep] = (),
    found_clusters: Sequence[Clusters] = (),
) -> str:
    """Return the report as one page that needs nothing else."""
    about = origin_of(comparison.dataset, comparison.created)
    found = sections(comparison, sweeps, found_clusters)
    return page_of(title_of(comparison), about, found, pictures)


def page_of(
    title: str, about: str, sections: Sequence[Section], pictures: Mapping[str, bytes]
) -> str:
    """Return sections as one page.

    Parameters
    ----------
    title, about
        The heading, and the line below it.
    sections
        The parts.
    pictures
        By the names of their files; a section shows those of its pictures that are among them.
    """
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
