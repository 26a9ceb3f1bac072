"""Settings of time that the data decide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grap_seq import config as configs
from grap_seq import load
from grap_seq.data.sequences import Sequences
from grap_seq.prep.prepare import prepare
from grap_seq.schema import TIME
from grap_seq.training.finetune import supervised
from grap_seq.training.pretrain import pretrain
from grap_seq.training.time_settings import with_times
from tests.shop import purchases, write_shop

SMALL = ["dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "trainer.threads=1"]


def gaps(prepared: Path) -> pd.Series[float]:
    """All gaps of the training split."""
    train = Sequences(prepared, "train")
    rows = [(row, 0, int(length)) for row, length in enumerate(train.lengths)]
    return pd.concat(pd.Series(train.gather([row])[TIME]).diff().dropna() for row in rows)


def in_unit(folder: Path, factor: float, unit: str = "day") -> Path:
    """The shop with its times in another unit."""
    source = write_shop(folder)
    frame = purchases(80)
    frame["when"] *= factor
    frame.to_csv(source, index=False)
    spec = folder / "events.yaml"
    spec.write_text(spec.read_text().replace("time_unit: day", f"time_unit: {unit}"))
    prepare("table", folder / "prepared", source=source)
    return folder / "prepared"


def test_cap_scale_and_jitter_are_those_of_the_data(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, facts = with_times(configs.compose("pretrain", SMALL), Sequences(shop, "train"))
    values, dataset = gaps(shop), config.dataset
    cap = float(values.quantile(0.99))
    clipped = values.clip(upper=cap)
    assert dataset.max_time_gap == pytest.approx(cap, rel=1e-5)
    assert dataset.time_scale == pytest.approx((clipped - clipped.median()).abs().mean(), rel=1e-5)
    assert dataset.time_jitter == pytest.approx(values.min(), rel=1e-5)
    assert facts["median"] == pytest.approx(values.median(), rel=1e-5)
    assert facts["clipped"] == pytest.approx(0.01, abs=0.003)
    said = capsys.readouterr().out
    assert f"median {values.median():.3g} days" in said
    assert f"above {cap:.3g} days" in said
    assert "Warning" not in said


def test_given_numbers_stay_and_what_they_clip_is_said(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["dataset.max_time_gap=0.5", "dataset.time_scale=2", "dataset.time_jitter=1"]
    config = configs.compose("pretrain", [*SMALL, *given])
    config, facts = with_times(config, Sequences(shop, "train"))
    dataset = config.dataset
    assert (dataset.max_time_gap, dataset.time_scale, dataset.time_jitter) == (0.5, 2, 1)
    share = float((gaps(shop) > 0.5).mean())
    assert facts["clipped"] == pytest.approx(share, rel=1e-5)
    said = " ".join(capsys.readouterr().out.split())
    assert f"the {share:.1%} above 0.5 days" in said
    assert "more than half of them are cut at dataset.max_time_gap=0.5; give a larger" in said


def test_seconds_that_are_said_to_be_days_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = in_unit(tmp_path, 86400)
    with_times(configs.compose("pretrain", SMALL), Sequences(prepared, "train"))
    said = " ".join(capsys.readouterr().out.split())
    assert "years; time_unit: day in the description is probably wrong" in said


def test_losses_do_not_depend_on_the_unit(shop: Path, tmp_path: Path) -> None:
    """Training in hours is training in days; the time loss of a bad model is about 1.

    Validation differs a little: batch norm's running statistics start from a mean of zero.
    """
    (tmp_path / "hours").mkdir()
    folders = {"day": shop, "hour": in_unit(tmp_path / "hours", 24, "hour")}
    losses = []
    for unit, prepared in folders.items():
        chosen = ["dataset.time_jitter=0", "select=last", f"prepared={prepared}", "epochs=2"]
        run = pretrain(configs.compose("pretrain", [*SMALL, *chosen, f"run={tmp_path / unit}"]))
        losses.append(pd.read_csv(run / "metrics.csv").filter(regex="^loss/").to_numpy())
        facts = json.loads((run / "model.json").read_text())
        assert facts["gaps"]["median"] == pytest.approx(
            gaps(shop).median() * (24 if unit == "hour" else 1), rel=1e-4
        )
        assert load(run).model.embedding.max_time_gap == facts["max_time_gap"]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)
    time = pd.read_csv(tmp_path / "day" / "metrics.csv")["val_loss/time"]
    assert ((time > 0.5) & (time < 1.5)).all()


def test_training_by_the_label_takes_them_too(shop: Path, tmp_path: Path) -> None:
    chosen = [*SMALL, "mode=supervised", f"prepared={shop}", f"run={tmp_path / 'run'}"]
    run = supervised(configs.compose("pretrain", chosen))
    facts = json.loads((run / "model.json").read_text())
    assert facts["max_time_gap"] == pytest.approx(gaps(shop).quantile(0.99), rel=1e-5)
