"""The page of a run of `grap-seq vision`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

from grap_seq import seal
from grap_seq.lock import locked
from grap_seq.log_file import keep_in
from grap_seq.pages.read import PROBE, check_run, read
from grap_seq.pages.render import render
from grap_seq.pages.training_sections import losses_section, weights_section

# Standard errors of a difference that is no chance.
CLEAR = 2


def report_images(run: Path) -> Path:
    """Write run/report.html.

    Args:
        run: folder of a run of `grap-seq vision`.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: no such run.
        FileExistsError: another process is at work in the run.
        ValueError: a damaged file.
    """
    check_run(run)
    with locked(run):
        keep_in(run)
        files = read(run)
        assert files.config is not None
        probe = _probe(run)
        page = render(
            "images.html",
            name=files.name,
            data=files.config["data"]["name"],
            headline=headline(probe),
            summary=summary(probe, run),
            probe=probe,
            rows=[] if probe is None else _rows(probe),
            weights=weights_section(run, files),
            losses=losses_section(run, files),
            weighting=files.weighting,
            config=files.config_text,
            environment=files.environment and json.dumps(files.environment, indent=2),
        )
        seal.write_text(run, "report.html", page)
    return run / "report.html"


def _probe(run: Path) -> dict[str, Any] | None:
    if not (run / PROBE).is_file():
        return None
    remedy = "restore it from a copy, or train the run again with `grap-seq vision`"
    found: dict[str, Any] = json.loads(seal.check(run, PROBE, remedy).read_text("utf-8"))
    return found


def standard_error(accuracy: float, images: int) -> float:
    """Of a share of so many images."""
    return sqrt(accuracy * (1 - accuracy) / images)


def headline(probe: Mapping[str, Any] | None) -> str:
    """What training was good for."""
    if probe is None:
        return "The run is not finished"
    accuracies = probe["accuracy"], probe["untrained"]
    errors = [standard_error(accuracy, probe["scored"]) for accuracy in accuracies]
    # On the same images errors are smaller: what is clear with these is clear.
    gap, chance = accuracies[0] - accuracies[1], CLEAR * sqrt(sum(e**2 for e in errors))
    if abs(gap) <= chance:
        return "Training cannot be told from none"
    return "Training has helped" if gap > 0 else "Training has done harm"


def summary(probe: Mapping[str, Any] | None, run: Path) -> str:
    """The scores in a sentence."""
    if probe is None:
        return f"No probe yet: `grap-seq vision ... run={run} resume=true` goes on."
    return (
        f"A linear classifier on its frozen features is right on {probe['accuracy']:.1%} of the"
        f" validation images, on those of an untrained backbone on {probe['untrained']:.1%}."
    )


def _rows(probe: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = {"trained": "the trained backbone", "untrained": "an untrained backbone"}
    scores = {"trained": probe["accuracy"], "untrained": probe["untrained"]}
    return [
        {
            "name": named[key],
            "accuracy": score,
            "error": standard_error(score, probe["scored"]),
        }
        for key, score in scores.items()
    ]
