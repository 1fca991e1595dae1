"""Turns `benchmarks/results/*.json` into the README's tables: `python benchmarks/render_tables.py`.

A heading a file, and under it a folded table for all rows of the same data and metrics: rows are (setting, method),
columns are metrics; over several seeds mean and standard deviation.
The paper's own figure stands beside ours in brackets. Of the speed files only the ratios are shown, one a line: times
themselves move with the machine. `--check` only says whether the README is up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common.results_file import RESULTS

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> int:
    """Render all result files into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the README is out of date")
    args = parser.parse_args()
    tables = [
        render(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(RESULTS.glob("*.json"))
    ]
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    fresh = before + BEGIN + "\n" + "\n".join(tables) + END + after
    if args.check:
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


def render(name: str, results: dict[str, Any]) -> str:
    """One heading, one line on where the figures come from, one table."""
    machine, versions = results["machine"], results["versions"]
    lines = [
        f"### {name.replace('_', ' ')}",
        "",
        f"`{results['command']}` at {results['commit']}; {machine['processor']}, {machine['cores']} cores; "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
        + ".",
        "",
    ]
    lines += ratio_table(results["rows"]) if name.startswith("speed_") else accuracy_tables(results["rows"])
    return "\n".join([*lines, ""])


def ratio_table(rows: list[dict[str, Any]]) -> list[str]:
    """The ratios among the figures, one a line, folded away."""
    lines = [
        "<details><summary>ratios measured in one run</summary>",
        "",
        "| data | method | ratio | value |",
        "|---|---|---|---|",
    ]
    for entry in rows:
        if any(word in entry["metric"] for word in ("times", "beside", "recall", "share")):
            method = ", ".join(filter(None, [entry["method"], entry.get("setting")]))
            lines.append(f"| {entry['data']} | {method} | {entry['metric']} | {cell([entry['value']])} |")
    return [*lines, "", "</details>"]


def accuracy_tables(rows: list[dict[str, Any]]) -> list[str]:
    """A folded table for all rows of the same data and the same metrics: methods down, metrics across."""
    figures: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    papers: dict[tuple[tuple[str, str, str], str], float] = {}
    for entry in rows:
        key = (entry["data"], str(entry.get("setting", "")), entry["method"])
        figures.setdefault(key, {}).setdefault(entry["metric"], []).append(entry["value"])
        if "paper_value" in entry:
            papers[key, entry["metric"]] = entry["paper_value"]
    tables: dict[tuple[str, tuple[str, ...]], list[tuple[str, str, str]]] = {}
    for key, values in figures.items():
        tables.setdefault((key[0], tuple(values)), []).append(key)
    lines: list[str] = []
    for (data, metrics), keys in tables.items():
        settings = any(key[1] for key in keys)
        header = [*(["setting"] if settings else []), "method", *metrics]
        lines += [f"<details><summary>{data}: {', '.join(metrics)}</summary>", ""]
        lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        for key in keys:
            shown = [*([key[1]] if settings else []), key[2]]
            for metric in metrics:
                paper = papers.get((key, metric))
                shown.append(cell(figures[key][metric]) + (f" [{paper:g}]" if paper is not None else ""))
            lines.append("| " + " | ".join(shown) + " |")
        lines += ["", "</details>", ""]
    if paper_data := sorted({entry["paper_data"] for entry in rows if "paper_data" in entry}):
        lines.append(f"In brackets: the paper's own figure ({'; '.join(paper_data)}).")
    return lines


def cell(values: list[float]) -> str:
    """A figure with three significant digits; mean ± standard deviation of several."""
    if not values:
        return ""
    mean = float(np.mean(values))
    digits = max(0, 2 - int(np.floor(np.log10(abs(mean))))) if mean else 3
    text = f"{mean:.{min(digits, 3)}f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values):.{min(digits, 3)}f}"


if __name__ == "__main__":
    sys.exit(main())
