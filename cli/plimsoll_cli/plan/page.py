"""A what-if as one HTML file that stands alone: tables, two charts, what is an estimate.

In: `Answers`. Out: text of a page without script and without anything from elsewhere; it follows the
reader's choice of light or dark.
"""

from collections.abc import Sequence
from html import escape

from plimsoll_cli.amounts import short
from plimsoll_cli.plan.answers import Answers, Row
from plimsoll_cli.plan.drawing import by_hour, by_week
from plimsoll_cli.plan.fleet import counted
from plimsoll_cli.plan.table import headings, needed_rows, risk_rows, week_rows

STYLE = """:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6470;--line:#d9dee4;
--back:#f5f7f9;--card:#fff;--need:#1f6feb;--mean:#7d8894;--capacity:#b3122e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4af;--line:#343b43;
--back:#14181c;--card:#1b2026;--need:#6cb0ff;--mean:#8a949f;--capacity:#ff7b8a}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0}
main{max-width:820px;margin:24px auto;background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:20px 24px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 6px}.lead,li,.key{color:var(--soft)}
div.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:5px 14px 5px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}td{font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;font-size:11px}svg text{fill:var(--soft)}.grid{stroke:var(--line)}
polyline{fill:none;stroke-width:2}polyline.need{stroke:var(--need)}circle.need{fill:var(--need)}
polyline.mean{stroke:var(--mean)}polyline.capacity{stroke:var(--capacity);stroke-dasharray:7 4}
.band{fill:var(--need);opacity:.18}.key b{font-weight:600}
.key .need{color:var(--need)}.key .mean{color:var(--mean)}.key .capacity{color:var(--capacity)}"""


def page(answers: Answers) -> str:
    """The whole page."""
    question = answers.question
    title = f"{counted(len(answers.fleet.names), 'pod')} on kube nodes of {short(round(question.node_bytes))}"
    lead = f"{answers.fleet.source.said}; bound {question.bound:g}, policy {answers.policy}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style><main>",
        f"<h1>{escape(title)}</h1><p class=lead>{escape(lead)}</p>",
        f"<h2>Nodes that would do</h2>{_table(needed_rows(answers))}",
        f"<h2>How surely</h2>{_table(risk_rows(answers))}",
        f"<h2>Need against capacity</h2>{_hours(answers)}",
        f"<h2>Weeks ahead</h2>{_weeks(answers)}",
        "<h2>What is an estimate, and of what</h2><ul>",
        *(f"<li>{escape(each)}</li>" for each in answers.sentences()),
        "</ul></main></html>",
    ]
    return "\n".join([*parts, ""])


def _hours(answers: Answers) -> str:
    nodes = answers.shown.nodes
    of = counted(nodes, "node")
    key = (
        f'<p class=key><b class="need">need at the bound</b>, <b class="mean">mean use</b> and'
        f' <b class="capacity">capacity</b> of {of} together; each node has its own worst hour</p>'
    )
    return f"{by_hour(answers)}{key}"


def _weeks(answers: Answers) -> str:
    if not answers.weeks:
        return f"<p>Not known: {escape(answers.answer.outlook.why)}.</p>"
    key = '<p class=key><b class="need">nodes needed</b> with their interval'
    key += ', <b class="capacity">nodes asked about</b></p>' if answers.question.nodes is not None else "</p>"
    return f"{by_week(answers)}{key}{_table(week_rows(answers))}"


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in headings(rows))
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: object) -> str:
    return "-" if value is None else escape(str(value))
