"""A bar chart of the ratios as SVG, written by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

from bench.harness import BASELINE, OURS, Outcome

COLOURS = {OURS: "#2b6cb0", "SQLAlchemy Core": "#a0aec0", "SQLAlchemy ORM": "#718096"}
OTHER, TARGET, TEXT = "#d69e2e", "#c53030", "#1a202c"
WIDTH, LABEL, BAR, GAP = 1100, 400, 13, 12
LOW, HIGH = 0.25, 64.0
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def _x(ratio: float) -> float:
    place = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LABEL + place * (WIDTH - LABEL - 60)


def _target_ratio(outcome: Outcome) -> float | None:
    target = outcome.measure.target
    if target is None or outcome.measure.unit == "x":
        return target
    return target / outcome.absolute(BASELINE)


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = TEXT) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )


def _vertical(x: float, top: float, end: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{end}" stroke="{colour}"/>'


def _bar(y: float, name: str, ratio: float) -> str:
    fill = COLOURS.get(name, OTHER)
    label = f"{ratio:.2f}" if name == OURS else f"{ratio:.1f} {name}"
    return (
        f'<rect x="{LABEL}" y="{y}" width="{_x(ratio) - LABEL:.1f}" height="{BAR - 2}" '
        f'fill="{fill}"/>' + _text(_x(ratio) + 4, y + BAR - 4, label)
    )


def _group(y: float, title: str, outcome: Outcome) -> Iterator[str]:
    names = [name for name in outcome.seconds if name != BASELINE]
    yield _text(LABEL - 8, y + BAR - 3, title, anchor="end")
    for place, name in enumerate(names):
        yield _bar(y + place * BAR, name, outcome.ratio(name))
    target = _target_ratio(outcome)
    if target is not None:
        yield _vertical(_x(target), y - 2, y + len(names) * BAR, TARGET)


def _axis(height: float) -> Iterator[str]:
    for tick in TICKS:
        x = _x(tick)
        colour = "#4a5568" if tick == 1 else "#e2e8f0"
        yield _vertical(x, 40, height, colour)
        yield _text(x, 36, f"{tick:g}x", anchor="middle")


def write_chart(path: Path, outcomes: dict[str, Outcome], machine: str) -> None:
    """Draw time divided by the raw driver's, with a red mark at each target."""
    parts: list[str] = []
    y: float = 50
    for name, outcome in outcomes.items():
        if outcome.measure.unit != "MB":
            parts += _group(y, f"{name.partition('.')[0]}: {outcome.measure.work}", outcome)
            y += (len(outcome.seconds) - 1) * BAR + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 24:.0f}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>'
    )
    title = _text(8, 16, "Time divided by the baseline's (log scale); red: the target")
    foot = f'<g font-size="8">{_text(8, y + 12, machine)}</g>'
    body = [head, title, *_axis(y), *parts, foot, "</svg>"]
    path.write_text("\n".join(body) + "\n", encoding="utf-8")
