"""Turns `benchmarks/results/*.json` into pages of the docs site: `python benchmarks/render_tables.py`.

Pages are `docs/results/*.md`: one a system and one for the kernels; a section a result file; in it a table for all
rows of the same data and metrics. Rows are (setting, method), columns are metrics; over several seeds a cell is mean
± standard deviation, of a sample (`common.spread`). The paper's own figure stands beside ours in brackets. Of what a
training gave epoch by epoch the means of its first and last three epochs are shown. Of the speed files only ratios are
shown, one a line: times move with the machine. Times of several processors in one table say theirs. Calls stand at the
end of a section, and where there are several, under each table the numbers of its own. `--check` changes nothing and
exits with 1 if a page is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from common.paths import DOCS, RESULTS
from common.spread import spread


@dataclass(frozen=True)
class Page:
    """A page of results.

    Attributes:
      title: its heading.
      sources: result files (no suffix) to their headings, in order.
      plots: image files of benchmarks/results to their captions.
    """

    title: str
    sources: Mapping[str, str]
    plots: Mapping[str, str] = field(default_factory=dict)


PAGES = {
    "cnn_lstm": Page(
        "CNN + LSTM and C3D: measured",
        {
            "accuracy_media_retrieval": "Accuracy",
            "accuracy_c3d": "C3D from scratch",
            "accuracy_first_run": "The training that runs without arguments",
            "resources": "Parameters, sizes and times",
        },
        {
            "par_coverage.png": "PAR as selective answering: accuracy of the vote of the five nearest against the "
            "share of queries that are answered; the paper's figures as lines.",
            "pca_dimensions.png": "Accuracy against the number of principal components.",
        },
    ),
    "unseen_classes": Page(
        "Classes trained on and others: measured",
        {
            "accuracy_open_set": "The open-set encoder, its codes, and what the papers train",
            "ablation_cnn_lstm": "Choices of the CNN + LSTM encoder",
        },
        {
            "ablation_cnn_lstm.png": "Choices of the CNN + LSTM encoder (above) and of its objective (below): mAP of "
            "classes trained on and of others. The line follows the base through its training.",
        },
    ),
    "conv_lstm": Page(
        "ConvLSTM autoencoders and Bi-DTW: measured",
        {
            "accuracy_convlstm_digits": "Moving digits, by the command",
            "accuracy_convlstm": "Accuracy",
            "accuracy_sequences": "Bi-DTW on long sequences, played in other ways",
            "conv_lstm_memory": "Memory of a training step",
            "speed_train_step": "Time of a training step",
        },
        {
            "conv_lstm_strengths.png": "Parts of videos find their videos, changed more and more: by encoders before "
            "and after their training, with a thumbnail beside their vectors, and by SIFT words. Bands are the "
            "deviation of splits.",
            "conv_lstm_memory.png": "Predicted against measured memory of a training step.",
        },
    ),
    "foundation": Page(
        "Foundation encoders: measured",
        {"accuracy_foundation": "Loaders", "speed_foundation": "Time on the CPU"},
    ),
    "deep_hash": Page(
        "Deep video hashing: measured",
        {
            "accuracy_deep_hashing": "Accuracy",
            "speed_code_index": "An index of codes beside a scan",
            "speed_code_search": "Time of a search",
        },
        {
            "deep_hashing_lengths.png": "mAP@10 against the length of the codes.",
            "deep_hashing_weights.png": "mAP@10 against the weights of cross-entropy (alpha) and triplet loss (beta).",
        },
    ),
    "instance_search": Page(
        "Instance search: measured",
        {"accuracy_instance": "Accuracy and time", "speed_instance": "A folder of photographs of many sizes"},
        {
            "instance_faster_r_cnn.jpg": "Regions (left) and the objects found by Faster R-CNN, with their boxes.",
            "instance_grid.jpg": "The same by patches of grids.",
            "instance_blcf.jpg": "The same by BLCF, visual words of a feature map.",
            "instance_scale.png": "Time of a query against images and windows.",
        },
    ),
    "image_to_video": Page(
        "Image-to-video retrieval: measured",
        {
            "accuracy_shots": "Ten thousand shots: accuracy by shot and by film",
            "accuracy_image_to_video": "Films of JHMDB's clips: accuracy, bytes and time",
        },
        {
            "image_to_video_methods.png": "Methods and rules of cutting.",
            "image_to_video_bytes.png": "mAP against bytes an hour of film.",
        },
    ),
    "scale": Page(
        "An index at scale, and the start of a command: measured",
        {
            "index_at_scale": "Beside LanceDB, Qdrant and faiss",
            "faults_on_ray": "Fifty kills while three Ray workers index",
            "index_cells": "Approximate search beside faiss's inverted file",
            "cold_start": "A search from the command line",
        },
    ),
    "serve": Page(
        "jaxret serve: measured",
        {
            "serve_latency": "From the end of an upload to the results",
            "page_scrolling": "Scrolling through 1,000 results",
        },
    ),
    "kernels": Page(
        "Kernels, layers and decoding: measured",
        {
            "speed_rank": "Every search beside its fastest peer: how many times as fast",
            "speed_dtw": "Dynamic time warping",
            "speed_centroid_search": "Approximate search",
            "speed_backbones": "Backbones on the CPU",
            "speed_conv3d": "3D convolutions on the CPU",
            "energy_train_step": "Training steps of the recipes beside PyTorch",
            "speed_decode": "Decoding",
        },
        {
            "speed_rank_amd_epyc_family_25_model_1_codes.png": "How many times faster than the fastest peer on Zen 3, "
            "which has no AVX-512, codes: red is slower. Rows are instruction sets, columns galleries.",
            "speed_rank_amd_epyc_family_25_model_1_floats.png": "The same of vectors and sequences.",
            "speed_rank_amd_epyc_family_25_model_1_codes_2_threads.png": "Codes there, with two threads.",
            "speed_rank_amd_epyc_family_25_model_1_floats_2_threads.png": "Vectors there, with two threads.",
            "speed_rank_amd_epyc_family_26_model_2_codes.png": "Codes on Zen 5, which has all "
            "instruction sets and was held to the lower ones, too.",
            "speed_rank_amd_epyc_family_26_model_2_floats.png": "Vectors and sequences there.",
            "speed_rank_amd_epyc_family_26_model_2_codes_2_threads.png": "Codes there, with two threads.",
            "speed_rank_amd_epyc_family_26_model_2_floats_2_threads.png": "Vectors and sequences there, two threads.",
        },
    ),
}
SHOWN_EPOCHS = 3  # at each end of a training
RATIO_WORDS = ("times", "beside", "recall", "share", "to compile")
TIME_WORDS = frozenset({"us", "ms", "s", "h", "second", "seconds", "CPU-seconds", "hours", "time", "times", "GB/s"})


def main() -> int:
    """Render all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is out of date")
    check = parser.parse_args().check
    fresh = {DOCS / "results" / f"{name}.md": render(page) for name, page in PAGES.items()}
    if check:
        stale = [path for path, text in fresh.items() if not path.exists() or path.read_text("utf-8") != text]
        print("\n".join(f"out of date: {path}" for path in stale), end="\n" if stale else "")
        return int(bool(stale))
    for path, text in fresh.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def render(page: Page) -> str:
    """The page as MyST Markdown."""
    head = ["<!-- Written by benchmarks/render_tables.py. -->", "", f"# {page.title}", ""]
    lines: list[str] = []
    for name, caption in page.plots.items():
        lines += [f"```{{figure}} ../../benchmarks/results/{name}", f":alt: {caption}", "", caption, "```", ""]
    for name, heading in page.sources.items():
        results = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        ratios = name.startswith("speed_") and any(map(is_ratio, results["rows"]))
        rows = rows_with_processors(results, one_table=ratios)
        tables = list(ratio_tables(rows) if ratios else accuracy_tables(rows))
        lines += [f"## {heading}", ""]
        for shown in tables:
            lines += [*shown.lines, ""]
            if len(results["calls"]) > 1:
                lines += [numbered(shown.calls) + ".", ""]
        if paper_data := sorted({entry["paper_data"] for entry in rows if "paper_data" in entry}):
            lines += [f"In brackets: the paper's own figure ({'; '.join(paper_data)}).", ""]
        lines += calls_of(results["calls"])
    if any("±" in line for line in lines):
        head += [
            "After ± stands the standard deviation of seeds or draws, as of a sample (n - 1 in the denominator).",
            "",
        ]
    return "\n".join(head + lines).rstrip() + "\n"


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
      lines: in Markdown, with its heading.
      calls: the numbers of the calls that its rows are of.
    """

    lines: Sequence[str]
    calls: Collection[int]


def rows_with_processors(results: Mapping[str, Any], one_table: bool) -> list[dict[str, Any]]:
    """The rows of a file; those of times say their `processor` where a table, of their data or the one, has several."""
    processors = {call["id"]: call["machine"]["processor"] for call in results["calls"]}
    timed = is_ratio if one_table else is_time
    found: dict[str, set[str]] = {}
    for entry in filter(timed, results["rows"]):
        found.setdefault("" if one_table else entry["data"], set()).add(processors[entry["call"]])
    return [
        entry | {"processor": processors[entry["call"]]}
        if timed(entry) and len(found["" if one_table else entry["data"]]) > 1
        else entry
        for entry in results["rows"]
    ]


def calls_of(calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The calls that a section's figures are of, and below those of one machine what it is."""
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for call in calls:
        versions = ", ".join(f"{package} {version}" for package, version in call["versions"].items())
        where = f"{call['machine']['processor']}, {call['machine']['cores']} cores; {versions}"
        alike.setdefault(where, []).append(call)
    for where, same in alike.items():
        head = f"{numbered([call['id'] for call in same])}, on" if len(calls) > 1 else "On"
        yield from [f"{head} {where}:", ""]
        for call in same:
            number = f"{call['id']}: " if len(calls) > 1 else ""
            yield f"- {number}`{call['command']}`, {call['date']}, at {call['commit']}"
        yield ""


def numbered(calls: Collection[int]) -> str:
    """Numbers of calls, in words: "Calls 1 to 3, 7"."""
    runs: list[list[int]] = []
    for number in sorted(calls):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"Call{'s' if len(calls) > 1 else ''} {', '.join(words)}"


def is_ratio(entry: Mapping[str, Any]) -> bool:
    """Whether a row compares two times of one run."""
    return any(word in entry["metric"] for word in RATIO_WORDS)


def is_time(entry: Mapping[str, Any]) -> bool:
    """Whether a row is a time, or compares two."""
    return not TIME_WORDS.isdisjoint(entry["metric"].replace(",", " ").split())


def ratio_tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """The ratios measured in one run, and the times to compile, one a line."""
    shown = list(filter(is_ratio, rows))
    processors = any("processor" in entry for entry in shown)
    cells = [
        [entry["data"], ", ".join(filter(None, [entry["method"], entry.get("setting")])),
         *([entry["processor"]] if processors else []), entry["metric"], cell([entry["value"]])]
        for entry in shown
    ]  # fmt: skip
    header = ["data", "method", *(["processor"] if processors else []), "measure", "value"]
    yield Table(list(table(header, cells)), {entry["call"] for entry in shown})


def accuracy_tables(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """A table for all rows of the same data and the same metrics: methods down, metrics across."""
    rows = [entry for entry in rows if "epoch" not in entry] + ends_of_trainings(rows)
    found: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for entry in rows:
        key = (entry["data"], str(entry.get("setting", "")), entry["method"], entry.get("processor", ""))
        found.setdefault(key, {}).setdefault(entry["metric"], []).append(entry)
    tables: dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]] = {}
    for key, measured in found.items():
        tables.setdefault((key[0], tuple(measured)), []).append(key)
    for (data, metrics), keys in tables.items():
        columns = [n for n in (1, 2, 3) if n == 2 or any(key[n] for key in keys)]
        cells = [
            [*(key[n] for n in columns), *(cell_beside_paper(found[key][metric]) for metric in metrics)] for key in keys
        ]
        alone = sum(other == data for other, _ in tables) == 1
        heading = f"### {data}" if alone else f"### {data}: {heading_of(metrics)}"
        header = [("", "setting", "method", "processor")[n] for n in columns]
        yield Table(
            [heading, "", *table([*header, *metrics], cells)],
            {entry["call"] for key in keys for metric in metrics for entry in found[key][metric]},
        )


def cell_beside_paper(entries: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a figure as a cell, with the paper's own in brackets."""
    paper = [f" [{entry['paper_value']:g}]" for entry in entries if "paper_value" in entry]
    return cell([entry["value"] for entry in entries]) + "".join(paper[-1:])


def ends_of_trainings(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two rows for each figure that is given epoch by epoch: its mean of the first epochs, and of the last."""
    curves: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in rows:
        if "epoch" in entry:
            same = tuple(str(entry.get(name)) for name in ("data", "setting", "method", "metric", "seed"))
            curves.setdefault(same, []).append(entry)
    found = []
    for curve in curves.values():
        curve.sort(key=lambda entry: entry["epoch"])
        for end, part in (("first", curve[:SHOWN_EPOCHS]), ("last", curve[-SHOWN_EPOCHS:])):
            mean = float(np.mean([entry["value"] for entry in part]))
            found.append({**curve[0], "metric": f"{curve[0]['metric']}, {end} {SHOWN_EPOCHS} epochs", "value": mean})
    return found


def heading_of(metrics: Sequence[str]) -> str:
    """The first metrics of a table."""
    return ", ".join(metrics[:2]) + (" and others" if len(metrics) > 2 else "")


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(text.replace("|", "\\|") for text in row) + " |"


def cell(values: list[float]) -> str:
    """A figure with three significant digits; mean ± standard deviation of several."""
    mean = float(np.mean(values))
    digits = max(0, 2 - int(np.floor(np.log10(abs(mean))))) if mean else 3
    text = f"{mean:z.{min(digits, 3)}f}"
    return text if len(values) == 1 else f"{text} ± {spread(values):.{min(digits, 3)}f}"


if __name__ == "__main__":
    sys.exit(main())
