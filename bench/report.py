"""The table on the screen and the CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from bench.alchemy import CORE, ORM
from bench.harness import BASELINE, OURS, Outcome

HEAD = ("work", "target", "DataFlow", "", "spread", "baseline", "ours", "Core", "ORM", "others")
KNOWN = (BASELINE, OURS, CORE, ORM)
LABELS = {"x": "µs", "us": "µs"}
MARKS = {None: "", True: "ok", False: "MISS"}


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _quantity(value: float, unit: str) -> str:
    if unit == "µs" and value >= 10_000:
        return f"{_number(value / 1000)} ms"
    return f"{_number(value)} {unit}"


def table_row(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of one line, in the order of `HEAD`."""
    measure = outcome.measure
    unit = LABELS.get(measure.unit, measure.unit)
    limit = "" if measure.unit == "x" else f" {unit}"
    others = [name for name in outcome.seconds if name not in KNOWN]
    return (
        measure.work,
        "" if measure.target is None else f"≤ {measure.target:g}{limit}",
        _number(outcome.figure(OURS)),
        MARKS[outcome.reached],
        "..".join(_number(value) for value in outcome.spread(OURS)),
        _quantity(outcome.absolute(BASELINE), unit),
        _quantity(outcome.absolute(OURS), unit),
        *(_number(outcome.figure(name)) if name in outcome.seconds else "" for name in KNOWN[2:]),
        ", ".join(f"{name} {_number(outcome.figure(name))}" for name in others),
    )


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text with aligned columns."""
    lines = [HEAD, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * sum(widths), *texts[1:]])


def write_csv(path: Path, outcomes: dict[str, Outcome], machine: str) -> None:
    """Write a line per measure and contestant, the machine as a comment on top."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {machine}\n")
        writer = csv.writer(file)
        writer.writerow(
            ("measure", "work", "contestant", "unit", "target", "reached", "median",
             "ratio", "ratio_min", "ratio_max", "rounds")
        )  # fmt: skip
        for name, outcome in outcomes.items():
            measure = outcome.measure
            for contestant, rounds in outcome.seconds.items():
                mine = contestant == OURS
                ratios = (outcome.ratio(contestant), *outcome.spread(contestant))
                writer.writerow(
                    (name, measure.work, contestant, LABELS.get(measure.unit, measure.unit),
                     measure.target if mine else "", outcome.reached if mine else "",
                     f"{outcome.absolute(contestant):.4g}",
                     *(f"{ratio:.3f}" for ratio in ratios), len(rounds))
                )  # fmt: skip
