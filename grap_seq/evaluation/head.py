"""The score of a run's own head, where the label has trained the run."""

from __future__ import annotations

import json
from pathlib import Path

from grap_seq import seal
from grap_seq.evaluation.origin import REMEDY
from grap_seq.evaluation.plan import Plan
from grap_seq.schema import Label


def head_scores(run: Path, plan: Plan, label: Label) -> dict[str, float | None] | None:
    """Scores of the head on the dataset's validation and test splits, from head.json.

    None where the head predicts another label.

    Raises:
        FileNotFoundError: The label has not trained the run.
        ValueError: The plan has folds: the head was trained once, on the training split. Or the
            file is damaged.
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
    content = json.loads(seal.check(run, path.name, REMEDY).read_text("utf-8"))
    if content["label"] != label.name:
        return None
    return {name: content[name] for name in ("validation", "test")}
