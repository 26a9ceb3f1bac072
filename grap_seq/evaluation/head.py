"""The score of a run's own head, where the label has trained the run."""

from __future__ import annotations

import json
from pathlib import Path

from grap_seq.evaluation.plan import Plan


def head_scores(run: Path, plan: Plan) -> dict[str, float | None]:
    """Scores of the head on the dataset's validation and test splits, from head.json.

    Raises:
        FileNotFoundError: The label has not trained the run.
        ValueError: The plan has folds: the head was trained once, on the training split.
    """
    path = run / "head.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: only runs of mode=supervised or `grap-seq finetune` have a head "
            "that predicts the label; leave out head=true"
        )
    if plan.folds:
        raise ValueError(
            "head=true: the head was trained on the training split and scored on the "
            "test split, which folds do not keep apart; use folds=0"
        )
    content = json.loads(path.read_text("utf-8"))
    return {name: content[name] for name in ("validation", "test")}
