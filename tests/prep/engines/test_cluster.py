"""engine=spark on a standalone cluster of two workers, of which one is killed on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyspark
import pytest

from grap_seq.orphans import die_with_parent
from grap_seq.prep.engines.spark import java
from grap_seq.prep.prepare import prepare
from tests.prep.engines.test_spark import assert_same
from tests.shop import write_shop

SPARK = Path(pyspark.__file__).parent
# Small tables and small machines: compiling and large heaps are what takes the time.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SETTINGS = {
    "driver.host": "127.0.0.1",
    "driver.extraJavaOptions": f"'{JAVA}'",
    "executor.extraJavaOptions": f"'{JAVA}'",
    "executor.memory": "512m",
    "sql.adaptive.enabled": "false",
    "sql.codegen.factoryMode": "NO_CODEGEN",
    "sql.shuffle.partitions": "2",
    "ui.enabled": "false",
    # Both executors are there before the first task.
    "scheduler.minRegisteredResourcesRatio": "1",
    "scheduler.maxRegisteredResourcesWaitingTime": "120s",
}
TASK, PATIENCE = "Running task", 300


class Cluster:
    """A master and two workers, each a process of its own, in a folder with their logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"spark://127.0.0.1:{port}"
        self.master = self._start("master", "master.Master", "--port", str(port))
        self.workers = {name: self._worker(name) for name in ("one", "two")}

    def _worker(self, name: str) -> subprocess.Popen[bytes]:
        size = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / name)]
        return self._start(name, "worker.Worker", *size, self.address)

    def _start(self, name: str, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = [str(SPARK / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}"]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*program, "--host", "127.0.0.1", "--webui-port", "0", *arguments],
                env={**os.environ, "SPARK_HOME": str(SPARK), "SPARK_DAEMON_JAVA_OPTS": JAVA},
                # With the executors that it starts, a worker is a process group.
                start_new_session=True,
                preexec_fn=die_with_parent,
                stdout=log,
                stderr=log,
            )

    def tasks(self, worker: str) -> int:
        """How many tasks a worker's executors have begun."""
        logs = (self.folder / worker).glob("app-*/*/stderr")
        return sum(log.read_text("utf-8").count(TASK) for log in logs)

    def kill(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if java() is None:
        pytest.skip("Java 17 is missing (no `java` found): no cluster can be started")
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    yield started
    started.kill(started.master, *started.workers.values())


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    source, output, log = write_shop(tmp_path), tmp_path / "spark", tmp_path / "log"
    settings = {"master": cluster.address, **SETTINGS}
    arguments = ["dataset=table", f"source={source}", f"output={output}", "engine=spark"]
    arguments += [f"spark.{name}={value}" for name, value in settings.items()]
    with log.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "grap_seq", "prepare", "memory_limit=1GB", *arguments],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable},
            preexec_fn=die_with_parent,
            stdout=file,
            stderr=file,
        )
    try:
        # In the middle of a stage, the worker with the most work is lost.
        work, end = output.with_name("spark.partial") / "work", time.monotonic() + PATIENCE
        while not list(work.glob("*.unfinished")):
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        victim = max(cluster.workers, key=cluster.tasks)
        assert cluster.tasks(victim)
        cluster.kill(cluster.workers[victim])
        assert running.wait(PATIENCE) == 0, log.read_text()
    finally:
        running.kill()
    assert "lost worker" in (cluster.folder / "master.log").read_text("utf-8")
    prepare("table", tmp_path / "duckdb", source=source)
    assert_same(tmp_path / "duckdb", output)
