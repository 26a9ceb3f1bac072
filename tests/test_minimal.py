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
# Runs command lines, the last of which may fail, as if the packages of all extras were missing.
PROGRAM = """
import json, sys
# To Python these are packages that there are not.
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
from grap_seq.cli import main
for words in json.loads(sys.argv[2]):
    sys.argv = ["grap-seq", *words]
    print(*words, file=sys.stderr)
    main()
"""


def missing() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [word for words in project["optional-dependencies"].values() for word in words]
    names = {re.split(r"[\[<>=]", word)[0].lower() for word in extras}
    base = {re.split(r"[\[<>=]", word)[0].lower() for word in project["dependencies"]}
    # TorchJD's and Ibis's own extras bring packages of theirs.
    found = {IMPORTED.get(name, name).replace("-", "_") for name in names - base - {"grap-seq"}}
    return ",".join(sorted(found))


def without_extras(folder: Path, *lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Command lines, one after the other, in one process."""
    command = [sys.executable, "-c", PROGRAM, missing(), json.dumps(lines)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_way_from_table_to_report_needs_no_extra(shop: Path, tmp_path: Path) -> None:
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
    done = without_extras(tmp_path, *lines)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        # Spark is looked for among what is installed: tests/prep/engines/test_spark.py.
        (["tune", "trials=1"], "tune"),
        (["pretrain", "tracker=mlflow"], "mlflow"),
    ],
)
def test_a_missing_extra_is_named(shop: Path, tmp_path: Path, words: list[str], extra: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "flights").symlink_to(shop)
    done = without_extras(tmp_path, words)
    assert done.returncode == 2, done.stderr
    assert f"grap-seq[{extra}]" in done.stderr or f"[{extra}]" in done.stderr
