"""MLflow: a real server on the loopback, with an SQLite store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grap_seq import commands, seal
from grap_seq.trackers.background import Background
from tests.trackers.runs import Points, assert_whole, interrupted, pretrain

pytest.importorskip("mlflow", reason="mlflow is not installed: grap-seq[mlflow]")
pytestmark = pytest.mark.xdist_group("mlflow")
# How long it may take to start, and live at most.
SECONDS, LIFE = 180, 900


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    stores = ["--backend-store-uri", f"sqlite:///{folder}/store.db"]
    stores += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    # It ends by itself, should these tests be killed.
    command = ["timeout", "--signal=KILL", str(LIFE), sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), *stores]
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=lean, start_new_session=True
        )
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=10)
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
    yield address
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def use(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log there; without what Lightning's logger has told mlflow in this process before."""
    import mlflow

    nothing: Any = None
    mlflow.set_tracking_uri(nothing)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    import mlflow

    use(server, monkeypatch)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    return mlflow.MlflowClient(server)


def runs(client: Any, name: str) -> list[Any]:
    found = client.get_experiment_by_name(name)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def told(client: Any, run: Any) -> dict[str, Points]:
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def test_a_run_that_stops_and_goes_on_is_one_run_with_its_report(
    shop: Path, tmp_path: Path, client: Any, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "folder"
    interrupted(shop, folder, "tracker=mlflow")
    commands.report([f"run={folder}"])
    (run,) = runs(client, request.node.name)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "folder")
    assert_whole(folder, told(client, run))
    assert run.data.params["dataset.name"] == "shop"
    assert run.data.params["weighting.name"] == "grap"
    kept = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(kept).read_bytes() == (folder / "report.html").read_bytes()


def test_a_replaced_run_is_another_one(
    shop: Path, tmp_path: Path, client: Any, request: pytest.FixtureRequest
) -> None:
    few = ["tracker=mlflow", "trainer.max_steps=2"]
    pretrain(shop, tmp_path / "run", *few)
    pretrain(shop, tmp_path / "run", *few, "overwrite=true")
    assert len(runs(client, request.node.name)) == 2


def test_any_name_is_one_of_its_own(
    tmp_path: Path, client: Any, request: pytest.FixtureRequest
) -> None:
    names = ["loss/[/red]kind", "loss/../../up", "loss/a\nb", "loss/a b", "loss/сумма", "loss/a~b"]
    names += ["loss/a/", "loss/a", "loss/..", "loss/" + "x" * 400, "loss/=cmd|' /C calc'!A1"]
    seal.write_json(tmp_path, "environment.json", {"id": "hostile"})
    tracker = Background("mlflow", tmp_path)
    tracker.do(lambda tracked: tracked.begin({f"weights.{name}": 1 for name in names}))
    tracker.do(lambda tracked: tracked.log({name: i for i, name in enumerate(names)}, 3))
    tracker.do(lambda tracked: tracked.log({"loss/bad": float("nan")}, 3))
    tracker.do(lambda tracked: tracked.end("stopped"))
    tracker.close()
    (run,) = runs(client, request.node.name)
    assert run.info.status == "KILLED"
    values = [value for name, value in run.data.metrics.items() if name != "loss/bad"]
    assert sorted(values) == list(range(len(names)))
    assert len(run.data.params) == len(names)


def test_a_server_that_is_down_costs_one_warning(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use(f"http://me:secret@127.0.0.1:{port}", monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    pretrain(shop, tmp_path / "run", "tracker=mlflow")
    out, err = capfd.readouterr()
    assert out.count("Warning: tracker mlflow failed") == 1
    assert "secret" not in out + err
    assert "Retry" not in out + err
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_server_that_hangs_does_not_hold_a_run(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("grap_seq.trackers.background.GRACE", 0.5)
    with socket.socket() as silent:
        # Connections are taken by the kernel, and nobody answers.
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        use(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        pretrain(shop, tmp_path / "run", "tracker=mlflow")
        out, _ = capfd.readouterr()
        assert out.count("Warning: tracker mlflow has not answered for 0 s") == 1
        assert (tmp_path / "run" / "model.safetensors").is_file()
