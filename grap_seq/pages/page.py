"""One HTML file that shows a run: no network, readable on a phone and in a mail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grap_seq import seal
from grap_seq.evaluation.origin import Origin
from grap_seq.lock import locked
from grap_seq.log_file import keep_in
from grap_seq.pages import verdict, words
from grap_seq.pages.calibration import plot_calibration
from grap_seq.pages.label_curve import plot_label_curve
from grap_seq.pages.plots import (
    draw_projection,
)
from grap_seq.pages.projection import COMPONENTS, project
from grap_seq.pages.read import EVALUATION, RunFiles, check_run, read
from grap_seq.pages.render import images, render
from grap_seq.pages.training_sections import losses_section, weights_section
from grap_seq.prep.folder.verify import verify
from grap_seq.schema import Schema
from grap_seq.terminal import progress

_ROWS = {
    "embedding": "embedding",
    "aggregates": "aggregates",
    "both": "both together",
    "untrained": "untrained encoder",
    "logistic": "logistic regression on the embedding",
    "ridge": "ridge regression on the embedding",
}


def report(run: Path, prepared: Path) -> Path:
    """Write run/report.html.

    Parts of the run that are missing are named, with the command that makes them.

    Args:
        run: Run folder.
        prepared: The prepared folder it was trained on.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: No such run, or no such prepared folder.
        FileExistsError: Another process is at work in the run.
        ValueError: A damaged file, or embeddings or an evaluation of another model or other data.
    """
    check_run(run)
    with locked(run):
        keep_in(run)
        page = _page(run, prepared)
        seal.write_text(run, "report.html", page)
    return run / "report.html"


def _page(run: Path, prepared: Path) -> str:
    manifest = verify(prepared)
    files, schema = read(run), Schema.load(prepared)
    _check_origin(run, prepared, files)
    sections: list[tuple[str, Callable[[], Any]]] = [
        ("embeddings", lambda: _picture(run, prepared, schema)),
        ("weights", lambda: weights_section(run, files)),
        ("losses", lambda: losses_section(run, files)),
    ]
    with progress() as shown:
        drawn = shown.track(sections, description="drawing")
        content = {key: section() for key, section in drawn}
    return render(
        "run.html",
        **content,
        name=files.name,
        schema=schema,
        manifest=manifest,
        weighting=files.weighting,
        headline=verdict.headline(files.evaluation, bool(schema.labels)),
        evaluation=_evaluation(run, files.evaluation),
        further=[_evaluation(folder, result) for folder, result in files.further.items()],
        signed=verdict.signed,
        data=words.data(manifest.splits, schema.label()),
        config=files.config_text,
        environment=files.environment and json.dumps(files.environment, indent=2),
    )


def _check_origin(run: Path, prepared: Path, files: RunFiles) -> None:
    """Refuse evaluations of another model, or of other data.

    Raises:
        ValueError: one is.
    """
    evaluations = {run: files.evaluation, **files.further}
    for folder, evaluation in evaluations.items():
        if evaluation is not None:
            remedy = f"make it again with `grap-seq embed run={run}` and `grap-seq evaluate`"
            origin = Origin.now(run, prepared)
            origin.check(evaluation["made_of"], folder / EVALUATION, remedy)


def _evaluation(run: Path, result: dict[str, Any] | None) -> dict[str, Any]:
    if result is None:
        return {"missing": f"No evaluation yet: `grap-seq evaluate run={run}` makes it."}
    rows = [
        {
            "name": _ROWS[name],
            "validation": (result["validation"] or {}).get(name),
            "test": result["test"][name],
            "std": result["std"][name],
            "gap": result["differences"].get(f"{name} - aggregates"),
        }
        for name in result["test"]
    ]
    if result["head"]:
        rows.append({"name": "the run's own head", "std": None, "gap": None, **result["head"]})
    poolings = [
        {"name": f"embedding, {name} only", "gap": None, **scored}
        for name, scored in result["poolings"].items()
    ]
    return {
        "result": result,
        "metric": verdict.METRIC_NAMES[result["metric"]],
        "summary": verdict.scores(result),
        "protocol": verdict.protocol(result),
        "combination": verdict.combination(result),
        "groups": [group for group in (rows, poolings) if group],
        "scale": _scale([*rows, *poolings]),
        "further": {_ROWS[name]: scored for name, scored in result["further"].items()},
        "names": verdict.METRIC_NAMES,
        "calibration": result["calibration"] and images(lambda width: plot_calibration(run, width)),
        "curve": result["label_curve"] and images(lambda width: plot_label_curve(run, width)),
    }


def _scale(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Range of the dots beside the table: all error bars, with a margin."""
    bars = [(r["test"], r["std"] or 0.0) for r in rows if r["test"] is not None]
    low = min((value - std for value, std in bars), default=0.0)
    high = max((value + std for value, std in bars), default=1.0)
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _picture(run: Path, prepared: Path, schema: Schema) -> dict[str, Any]:
    if not list((run / "embeddings").glob("*.parquet")):
        return {"missing": f"No embeddings yet: `grap-seq embed run={run}` makes them."}
    projection = project(run, prepared)
    return {
        "caption": words.picture(len(projection.points), projection.sequences, COMPONENTS),
        "image": images(lambda width: draw_projection(projection, schema, width)),
    }
