"""Small runs with a tracker, for tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grap_seq import commands

# Six updates an epoch.
SMALL = [
    *("dataset=table", "epochs=2", "batch_size=8", "log_every=2", "dataset.hidden=8"),
    *("event_width=8", "select=loss", "trainer.threads=1"),
]
STEPS = [1, 2, 4, 6, 8, 10, 12]
Points = list[tuple[int, float]]


def pretrain(shop: Path, run: Path, *more: str) -> None:
    commands.pretrain([*SMALL, f"prepared={shop}", f"run={run}", *more])


def interrupted(shop: Path, run: Path, *more: str) -> None:
    """Stop inside the second epoch, and go on."""
    pretrain(shop, run, "trainer.max_steps=7", *more)
    pretrain(shop, run, "trainer.max_steps=-1", "resume=true", *more)


def of_steps(run: Path, name: str) -> Points:
    rows = pd.read_parquet(run / "weights.parquet")
    return list(zip(rows["step"].tolist(), rows[name].tolist(), strict=True))


def of_epochs(run: Path, name: str) -> Points:
    rows = pd.read_csv(run / "metrics.csv", float_precision="round_trip")
    return list(zip(rows["step"].tolist(), rows[name].tolist(), strict=True))


def assert_whole(run: Path, told: dict[str, Points], rel: float = 0) -> None:
    """What a tracker was told is what the run's own files say."""
    for name in ("loss/time", "loss/downstream", "weight/coles", "cosine/kind"):
        assert same(told[name], of_steps(run, name), rel), name
    for name in ("val_loss/amount", "val_loss", "loss/time", "events_per_second"):
        assert same(told[f"epoch/{name}"], of_epochs(run, name), rel), name
    for name in ("learning_rate", "events_per_second", "peak_memory_mib"):
        steps, values = zip(*told[name], strict=True)
        assert list(steps) == STEPS
        assert min(values) >= 0
    assert told["learning_rate"][0][1] > told["learning_rate"][-2][1]
    assert 50 < told["peak_memory_mib"][0][1] < 50_000
    assert not {"step", "epoch/epoch"} & told.keys()


def same(told: Points, wanted: Points, rel: float) -> bool:
    """Whether steps agree, and values up to a share of them."""
    return len(told) == len(wanted) and all(
        step == at and abs(value - there) <= rel * abs(there)
        for (step, value), (at, there) in zip(told, wanted, strict=True)
    )
