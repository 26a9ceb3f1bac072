"""The files of a run that a model needs elsewhere, and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from grap_seq import seal
from grap_seq.evaluation.origin import REMEDY
from grap_seq.evaluation.save import WEIGHTS
from grap_seq.evaluation.stored_head import HEAD
from grap_seq.evaluation.stored_trees import CLASSIFIER

VOCABULARY = "vocab.json"
NEEDED = (WEIGHTS, "model.json", "schema.yaml", VOCABULARY)
# Where a run has them; of further labels an evaluation has left its files in labels/NAME.
EVALUATED = (CLASSIFIER, "evaluation.json")
ALSO = (HEAD, *EVALUATED, *(f"labels/*/{name}" for name in EVALUATED))
# Of a repository: whatever lies beside these stays there.
PATTERNS = (*NEEDED, *ALSO, seal.FILE)


def bundle(run: Path, folder: Path) -> None:
    """Copy what a model needs from a run to an empty folder, with checksums of its own.

    Args:
        run: a finished run.
        folder: where to.

    Raises:
        FileNotFoundError: the run lacks a file.
        ValueError: one is damaged.
    """
    there = sorted(path.relative_to(run).as_posix() for name in ALSO for path in run.glob(name))
    for name in (*NEEDED, *there):
        source = seal.check(run, name, REMEDY)
        with seal.write(folder, name) as temporary:
            if name == VOCABULARY:
                temporary.write_text(_without_places(source), "utf-8")
            else:
                shutil.copyfile(source, temporary)


def _without_places(vocabulary: Path) -> str:
    """vocab.json, whose label file is where it was prepared, and no business of others."""
    content = json.loads(vocabulary.read_text("utf-8"))
    labels = content["spec"]["labels"]
    if labels is not None:
        content["spec"]["labels"] = Path(labels).name
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
