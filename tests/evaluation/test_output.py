"""What embed and evaluate write, and what they leave alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from grap_seq import commands, load, lock, seal
from grap_seq.evaluation.boosting import Boosting, BoostingSettings
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.output import Output
from grap_seq.evaluation.protocol import evaluate
from grap_seq.files import sha256
from grap_seq.pages import report
from tests.prep.helpers import rewrite_manifest
from tests.sealed import reseal
from tests.shop import TIMES, purchases

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "trainer.threads=1", *TIMES]
FAST = Boosting(binary=BoostingSettings(n_estimators=5, min_data_in_leaf=5))


def scores(run: Path, prepared: Path, output: Path | None = None) -> None:
    evaluate(run, prepared, folds=0, seeds=1, threads=1, boosting=FAST, output=output)


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    commands.pretrain([f"run={run}", f"prepared={shop}", *SMALL, "epochs=1"])
    embed_folder(load(run), shop)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_files_of_the_users_are_left_as_they_are(run: Path, shop: Path, tmp_path: Path) -> None:
    for name in ("train.parquet", "labels/train.parquet"):
        mine = tmp_path / "mine" / name
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text("years of work")
        with pytest.raises(FileExistsError, match=f"mine/{name} is not a file of grap_seq"):
            embed_folder(load(run), shop, output=tmp_path / "mine")
        assert {p.name for p in mine.parent.rglob("*.parquet")} == {mine.name}
        assert mine.read_text() == "years of work"
        mine.unlink()
    mine = tmp_path / "mine" / "predictions.parquet"
    mine.write_text("years of work")
    with pytest.raises(FileExistsError, match=r"predictions\.parquet is not a file of grap_seq"):
        scores(run, shop, tmp_path / "mine")
    assert mine.read_text() == "years of work"


def test_files_of_ours_are_replaced_unless_they_were_changed(
    run: Path, shop: Path, tmp_path: Path
) -> None:
    output = embed_folder(load(run), shop, output=tmp_path / "out")
    embed_folder(load(run), shop, output=output)
    pd.read_parquet(output / "val.parquet").head(3).to_parquet(output / "val.parquet")
    with pytest.raises(FileExistsError, match=r"val\.parquet .*was changed since"):
        embed_folder(load(run), shop, output=output)
    # In the run itself a damaged file is made again.
    (run / "embeddings" / "val.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"val\.parquet is damaged.*grap-seq embed"):
        scores(run, shop)
    embed_folder(load(run), shop)
    scores(run, shop)


def test_unless_they_are_of_this_model_and_these_data_they_are_refused(
    run: Path, shop: Path, tmp_path: Path
) -> None:
    scores(run, shop)
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    shutil.copy(other / "val" / "part-00000.parquet", other / "val" / "part-00001.parquet")
    rewrite_manifest(other)
    for command in (scores, report):
        with pytest.raises(ValueError, match=r"made of other data; .*grap-seq embed run="):
            command(run, other)
    commands.pretrain([f"run={run}", f"prepared={shop}", *SMALL, "epochs=2", "resume=true"])
    for command in (scores, report):
        with pytest.raises(ValueError, match=r"by another model of the run; .*grap-seq embed run="):
            command(run, shop)
    embed_folder(load(run), shop)
    with pytest.raises(ValueError, match=r"evaluation\.json was made by another model"):
        report(run, shop)
    scores(run, shop)
    report(run, shop)


def test_a_model_and_its_description_belong_together(run: Path) -> None:
    """As after a kill between the two: each of them is as it was written."""
    tensors = load_file(run / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, run / "model.safetensors")
    reseal(run)
    with pytest.raises(ValueError, match=r"model\.json belongs to other weights than model\.saf"):
        load(run)


def test_a_model_and_its_vocabulary_belong_together(run: Path, shop: Path) -> None:
    """As if data prepared anew had been copied into the run."""
    content = json.loads((run / "vocab.json").read_text("utf-8"))
    content["categorical"]["kind"].reverse()
    (run / "vocab.json").write_text(json.dumps(content))
    reseal(run)
    model = load(run, warm=False)
    for call in (
        lambda: load(run),
        lambda: model.embed(purchases(3)),
        lambda: embed_folder(model, shop),
    ):
        with pytest.raises(ValueError, match=r"vocab\.json is not the one of the model"):
            call()


def test_what_a_killed_evaluation_leaves_is_removed(run: Path, shop: Path, tmp_path: Path) -> None:
    for folder in (run, tmp_path / "out"):
        folder.mkdir(exist_ok=True)
        child = os.fork()
        if not child:
            with Output(run, folder).scratch() as features:
                (Path(features) / "embedding").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(list(folder.glob("features-*"))) == 1
        mine = folder / "features-mine"
        mine.mkdir()
        scores(run, shop, folder)
        assert list(folder.glob("features-*")) == [mine]
        mine.rmdir()


@pytest.fixture
def writer(run: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes in the run."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom grap_seq.lock import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True), time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_run_that_is_being_written_is_left_alone(
    run: Path, shop: Path, tmp_path: Path, writer: subprocess.Popen[bytes]
) -> None:
    for call in (
        lambda: embed_folder(load(run), shop),
        lambda: embed_folder(load(run), shop, output=tmp_path / "out"),
        lambda: scores(run, shop),
        lambda: scores(run, shop, tmp_path / "out"),
        lambda: report(run, shop),
    ):
        with pytest.raises(FileExistsError, match=f"at work in .*run .process {writer.pid} on"):
            call()


def test_readers_of_a_run_do_not_wait_for_each_other(run: Path, shop: Path, tmp_path: Path) -> None:
    with lock.locked(run, shared=True):
        embed_folder(load(run), shop, output=tmp_path / "out")
        with pytest.raises(FileExistsError, match="one that reads it"):
            embed_folder(load(run), shop)


def test_what_is_not_finite_is_refused(run: Path, shop: Path) -> None:
    path = run / "embeddings" / "test.parquet"
    table = pq.read_table(path)
    column = table["emb_0003"].to_numpy().copy()
    column[2] = np.nan
    place = table.column_names.index("emb_0003")
    pq.write_table(table.set_column(place, "emb_0003", pa.array(column)), path)
    reseal(run)
    with pytest.raises(ValueError, match=r"test\.parquet has embeddings that are not finite"):
        scores(run, shop)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"'embedding\.block\.3\.weight' is not finite"),
        (3e38, r"the embedding of sequence \d+ is not finite"),
    ],
)
def test_a_model_that_has_diverged_is_refused(
    run: Path, shop: Path, value: float, message: str
) -> None:
    path = run / "model.safetensors"
    tensors = load_file(path)
    name = "embedding.block.3.weight"
    tensors[name] = torch.full_like(tensors[name], value)
    save_file(tensors, path)
    described = json.loads((run / "model.json").read_text("utf-8"))
    (run / "model.json").write_text(json.dumps(described | {"weights": sha256(path)}))
    reseal(run)
    before = {p: p.read_bytes() for p in (run / "embeddings").rglob("*.parquet")}
    with pytest.raises(ValueError, match=message):
        embed_folder(load(run), shop)
    assert {p: p.read_bytes() for p in (run / "embeddings").rglob("*.parquet")} == before


READER = """
import sys
from grap_seq import commands
run, prepared, out = sys.argv[1:]
commands.embed([f"run={run}", f"prepared={prepared}", f"output={out}/embeddings"])
few = ["folds=0", "seeds=1", "threads=1", "boosting={binary: {n_estimators: 5}}"]
commands.evaluate([f"run={run}", f"prepared={prepared}", f"output={out}/scores", *few])
"""


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv"
)
def test_run_and_data_may_lie_where_nothing_can_be_written(run: Path, shop: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), Path(name) / "home"
        folder.chmod(0o755)
        shutil.copytree(run, folder / "run")
        shutil.copytree(shop, folder / "data", ignore=lambda *_: {".cache"})
        home.mkdir()
        home.chmod(0o777)
        for path in [*folder.glob("run/**/*"), *folder.glob("data/**/*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        for path in (folder / "run", folder / "data"):
            path.chmod(0o555)
        arguments = [str(folder / "run"), str(folder / "data"), str(home)]
        # Root may write everywhere, unless it gives that up.
        drop = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*drop, sys.executable, "-c", READER, *arguments],
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert seal.problems(home / "embeddings") == []
        assert (home / "scores" / "evaluation.json").is_file()
        assert len(list((home / "cache" / "grap_seq").glob("*/*.arrow"))) == 3
        shutil.rmtree(home)
