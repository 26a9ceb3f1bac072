"""What needs an extra says so, and nothing else needs one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 has no tomllib")

ROOT = Path(__file__).parents[1]
# Names under which packages of extras are imported, where they are others.
IMPORTED = {"mkdocs-material": "material", "types-pyyaml": "yaml_types"}
# Runs command lines as if the packages of all extras were missing, and says what each ended with.
PROGRAM = """
import json, sys
# To Python these are packages that there are not.
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from grap_seq.cli import main
ended = []
for words in json.loads(sys.argv[2]):
    sys.argv = ["grap-seq", *words]
    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main()
        ended.append((0, said.getvalue()))
    except SystemExit as end:
        ended.append((end.code, said.getvalue()))
print(json.dumps(ended))
"""
# Spark is looked for among what is installed: tests/prep/engines/test_spark.py.
NEED = {"tune": ["tune", "trials=1"], "mlflow": ["pretrain", "tracker=mlflow"]}


def missing() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [word for words in project["optional-dependencies"].values() for word in words]
    names = {re.split(r"[\[<>=]", word)[0].lower() for word in extras}
    base = {re.split(r"[\[<>=]", word)[0].lower() for word in project["dependencies"]}
    # TorchJD's and Ibis's own extras bring packages of theirs.
    found = {IMPORTED.get(name, name).replace("-", "_") for name in names - base - {"grap-seq"}}
    return ",".join(sorted(found))


def without_extras(folder: Path, lines: list[list[str]]) -> list[tuple[int, str]]:
    """Status and output of command lines, one after the other in one process."""
    command = [sys.executable, "-c", PROGRAM, missing(), json.dumps(lines)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended: list[tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return ended


def test_from_table_to_report_no_extra_is_needed_and_one_that_is_gets_named(
    shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "flights").symlink_to(shop)
    run = f"run={tmp_path / 'run'}"
    small = ["epochs=1", "dataset.hidden=8", "event_width=8", "select=loss", "batch_size=8"]
    leaves = "boosting.binary.min_data_in_leaf=2"
    lines = [
        ["pretrain", f"prepared={shop}", run, *small],
        ["embed", run],
        ["evaluate", run, "folds=0", "seeds=1", leaves, "boosting.binary.n_estimators=5"],
        ["report", run],
        ["finetune", run, f"output={tmp_path / 'tuned'}", "epochs=1"],
    ]
    ended = without_extras(tmp_path, [*lines, *NEED.values()])
    for status, said in ended[: len(lines)]:
        assert status == 0, said
    assert (tmp_path / "run" / "report.html").is_file()
    for extra, (status, said) in zip(NEED, ended[len(lines) :], strict=True):
        assert status == 2, said
        assert f"[{extra}]" in said
