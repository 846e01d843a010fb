"""Tables and curves from all runs that are kept: a Markdown page, one self-contained HTML page, PNG files."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper import costs, pictures, store, summary, tables
from benchmarks.paper.arms import Condition, conditions
from benchmarks.paper.sections import Section, Table

PAGE = Path(__file__).parents[2] / "docs" / "results-paper.md"
INTRODUCTION = """\
Made by `python -m benchmarks.paper report` from the runs under `benchmarks/results/paper`; each line there names its
command, revision, seed and machine.

*Final accuracy*: mean over the last five points of the curve, on data never streamed, with the 95 % interval (Student's
t) over seeds. *minus RS*: paired by seed. *Rounds*: the first at which the mean curve over seeds reaches the final
accuracy of RS; the whole run is charged where it never does. *rounds / RS's*: over the rounds at which RS itself
first reaches it, interval by paired bootstrap. *time / RS's*: the same by the clock, with the costs measured for the
task: others score and select, then train; titan selects beside training, on an accelerator that is no faster than the
trainer's core. *gain*: variance of the batch gradient under RS over that under the method, in closed form. Every
method stands at the rate of its own highest final accuracy.
"""


def write(folder: Path, page: Path = PAGE) -> None:
    """Rebuild the pages from the runs in a folder."""
    found = conditions(store.records(folder))
    sections = [*summary.sections(found, folder), *pictures.all_of(folder, found)]
    sections += [section(each, folder) for each in found]
    for each in sections:
        if each.figure is not None:
            (folder / f"{each.name}.png").write_bytes(each.figure)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(to_markdown(sections, os.path.relpath(folder, page.parent)))
    (folder / "report.html").write_text(to_html(sections))
    print(f"{page} and {folder / 'report.html'}: {len(sections)} sections")


def section(condition: Condition, folder: Path) -> Section:
    """Put one condition into tables and a figure."""
    measured = costs.read(folder / f"costs-{condition.settings.task}.json")
    made: list[Table] = []
    for averaged, caption in ((False, "As trained"), (True, "Averaged parameters (0.995)")):
        found = tables.rows(condition, measured, averaged)
        if found:
            made.append((caption, tables.HEADER, [row.cells() for row in found]))
    header, body = tables.early(condition)
    made.append(("Rounds to what RS has reached after a part of the run, over RS's own", header, body))
    header, body = tables.search(condition)
    made.append(("Final accuracy by rate", header, body))
    return Section(f"curves-{condition.name}", condition.title, tuple(made), _figure(condition))


def to_markdown(sections: Sequence[Section], pictures_at: str) -> str:
    """Return the page for the documentation, its pictures in a folder beside it."""
    parts = ["# Results of the paper's evaluation", INTRODUCTION]
    for each in sections:
        parts.append(f"## {each.title}")
        parts += [each.words] if each.words else []
        parts += [f"![{each.title}]({pictures_at}/{each.name}.png)"] if each.figure is not None else []
        parts += [f"{caption}\n\n{tables.markdown(header, body)}" for caption, header, body in each.tables]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def to_html(sections: Sequence[Section]) -> str:
    """Return a page that needs no other file."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>titand: results</title>",
        "<style>body{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:left}"
        "img{max-width:100%}</style>",
        "<h1>Results of the paper's evaluation</h1>",
        f"<p>{html.escape(INTRODUCTION).replace(chr(10) * 2, '<p>')}",
    ]
    for each in sections:
        parts.append(f"<h2>{html.escape(each.title)}</h2>")
        if each.figure is not None:
            parts.append(f'<img src="data:image/png;base64,{base64.b64encode(each.figure).decode()}">')
        parts += [f"<p>{html.escape(each.words)}"] if each.words else []
        for caption, header, body in each.tables:
            parts.append(f"<h3>{html.escape(caption)}</h3><table>{_line('th', header)}")
            parts += [_line("td", line) for line in body]
            parts.append("</table>")
    return "\n".join(parts) + "\n"


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _figure(condition: Condition) -> bytes | None:
    try:
        from benchmarks.paper import figures
    except ImportError:
        return None
    return figures.curves(condition)
