"""Each file of a recipe's source is read once, as the kernel counts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from grap_seq.prep.fetch.synth import synth
from tests.data_prep.copies import SHARED
from tests.faults import build, compiler

LIBRARY = Path(__file__).with_name("reads.c")
# A CSV file's header is looked at before the file is read: what Python and gzip take at once.
HEADER = 16_384
ROWS = {"churn": 20_000, "agepred": 20_000, "taobao": 20_000, "mimic3": 20_000}
REAL = SHARED / "mimic-iii-demo"


def _demo(folder: Path) -> Path:
    """The open demo of MIMIC-III; half of its patients, who all died, are said not to have."""
    folder.mkdir()
    for name in ("ADMISSIONS", "DIAGNOSES_ICD", "PROCEDURES_ICD", "PRESCRIPTIONS"):
        shutil.copy(REAL / f"{name}.csv", folder)
    shutil.copy(REAL / "LABEVENTS.numeric-subset.csv", folder / "LABEVENTS.csv")
    patients = pd.read_csv(REAL / "PATIENTS.csv", dtype=str)
    patients.loc[::2, "dod"] = None
    patients.to_csv(folder / "PATIENTS.csv", index=False)
    return folder


@pytest.mark.skipif(compiler() is None, reason="no C compiler, or no glibc")
def test_each_file_is_read_once(tmp_path: Path) -> None:
    sources = {name: synth(name, tmp_path / name, rows=rows, seed=0) for name, rows in ROWS.items()}
    jobs = [(name, str(source), str(tmp_path / f"{name}_out")) for name, source in sources.items()]
    if REAL.is_dir():
        jobs.append(("mimic3", str(_demo(tmp_path / "demo")), str(tmp_path / "demo_out")))
    library = build(tmp_path, LIBRARY)
    done = subprocess.run(
        [sys.executable, "-m", "tests.prep.reads", json.dumps(jobs)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    large = 0
    for path, count in found.items():
        size = Path(path).stat().st_size
        assert size <= count <= size + HEADER, path
        large += size > 2 * HEADER
    # Of these a second reading would show.
    assert large >= len(jobs)
