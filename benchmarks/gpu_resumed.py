"""The part of `gpu.py` about a run that is killed and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import gpu_steps as steps
from benchmarks.gpu_bench import Bench, Row
from grap_seq.files import sha256

HERE = Path(__file__).resolve().parents[1]
# Seconds that one training run may take.
LONGEST = 100


def resumed(bench: Bench) -> Iterator[Row]:
    """A deterministic run, killed and resumed, beside one that was left alone: the same bits."""
    count = 12 if bench.quick else 200
    hashes = {}
    for name in ("whole", "killed"):
        run = bench.work / name
        if name == "killed":
            process = _started(bench, run, count)
            files = run / "checkpoints"
            end = time.monotonic() + LONGEST
            # The first one may be in its place and not yet recorded.
            while process.poll() is None and len(list(files.glob("step-*.ckpt"))) < 2:
                time.sleep(0.02)
                if time.monotonic() > end:
                    break
            died = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        finished = _started(bench, run, count, "resume=true" if name == "killed" else "")
        try:
            output, _ = finished.communicate(timeout=LONGEST)
        finally:
            finished.kill()
        if finished.returncode:
            raise RuntimeError(f"the run {name} ended with {finished.returncode}: {output[-800:]}")
        hashes[name] = sha256(run / "model.safetensors")
    yield {"steps": count, "killed": died, "equal": hashes["whole"] == hashes["killed"]}


def _started(bench: Bench, run: Path, count: int, more: str = "") -> subprocess.Popen[str]:
    trainer = "gpu" if bench.device.type == "cuda" else "cpu"
    size = 16 if bench.quick else 128
    chosen = steps.overrides("gru", "grap", size, f"trainer={trainer}", f"run={run}")
    every = 2 if bench.quick else 20
    chosen += [f"prepared={bench.prepared}", "batch_size=16", "select=last", "epochs=100"]
    chosen += [f"trainer.max_steps={count}", f"checkpoint_every={every}", "trainer.workers=0"]
    code = (
        "import sys, torch, grap_seq.cli as cli;"
        "torch.use_deterministic_algorithms(True, warn_only=True); cli.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "pretrain", *chosen, *([more] if more else [])],
        cwd=HERE,
        env=os.environ | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONPATH": _paths()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _paths() -> str:
    return os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
