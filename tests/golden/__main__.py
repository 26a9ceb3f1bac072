"""`python -m tests.golden "the reason"`: write the golden runs again."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests import golden

ASKED = """\
Golden runs say that training computes today what it computed yesterday. If they differ, the
mathematics, the order of random numbers or a default has changed, for every user: results are no
longer comparable with earlier ones, and runs that were begun before do not go on alike. A reviewer
has to know what changed and why that is right. Say it in a sentence, which is stored with them:

    python -m tests.golden "GraP divides by the running norm: the paper's equation 12"
"""


def main() -> None:
    """Train all of them and store them with the reason."""
    if len(sys.argv) != 2 or len(sys.argv[1].split()) < 3:
        sys.exit(ASKED)
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    earlier = dict(np.load(golden.RUNS)) if golden.RUNS.is_file() else {}
    runs: dict[str, Any] = {}
    columns: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        prepared = golden.prepare(Path(folder) / "prepared")
        for encoder, weighting in golden.PAIRS:
            name = f"{encoder}-{weighting}"
            columns, runs[name] = golden.run(prepared, encoder, weighting)
            same = name in earlier and np.array_equal(earlier[name], runs[name], equal_nan=True)
            print(f"{name}: {'as before' if same else 'changed'}")
    np.savez_compressed(golden.RUNS, **runs)
    about = {"reason": sys.argv[1], "versions": golden.versions(), "columns": columns}
    golden.ABOUT.write_text(json.dumps(about, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
