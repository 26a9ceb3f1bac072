"""Shares of rare, missing and clipped values, beside plain pandas and beside training's."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grap_seq import cli, load
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.prep.folder.state import State
from grap_seq.prep.prepare import prepare
from grap_seq.prep.shares import Counter, from_dict, to_dict
from grap_seq.prep.transform import encode
from tests.prep.helpers import write_source
from tests.sealed import reseal
from tests.shop import purchases

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def model(shop_run: Path) -> EmbeddingModel:
    return load(shop_run)


def test_shares_are_those_of_the_raw_events(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    events = pd.DataFrame(
        {
            "client": random.integers(0, 60, 900),
            "when": random.random(900) * 100,
            "kind": random.choice(np.array(["a", "b", None]), 900),
            "amount": np.where(random.random(900) < 0.1, np.nan, random.normal(size=900)),
        }
    )
    events["region"] = np.where(events["client"] % 3, "north", "south")
    source = write_source(
        tmp_path,
        events.to_csv(index=False),
        categorical=["kind"],
        numerical={"amount": {"by": "kind", "log": True}},
        static={"categorical": ["region"]},
        time_unit="day",
    )
    prepare("table", tmp_path / "out", source=source)
    state = State.load(tmp_path / "out")
    new = events.assign(
        kind=events["kind"].mask(events.index % 7 == 0, "new"),
        amount=events["amount"].mask(events.index % 5 == 0, 1e9),
        region=np.where(events["client"] % 2, "west", "north"),
    )
    rows = encode(new, state)
    # Whatever the batches.
    counter = Counter(state)
    counts = counter.count(rows.to_batches())
    parts = pa.concat_tables([rows.slice(0, 7), rows.slice(7)]).to_batches()
    assert len(parts) > 1
    for name, count in counter.count(parts).items():
        assert vars(count) == pytest.approx(vars(counts[name]))
    values = state.numerical["amount"]
    known = {
        value: group for value, group in zip(state.categorical["kind"], values.groups, strict=True)
    }
    group = [
        known.get(kind if isinstance(kind, str) else None, values.other) for kind in new["kind"]
    ]
    logs = np.sign(new["amount"]) * np.log1p(new["amount"].abs())
    ends = [(one or values.other) for one in group]
    clipped = (logs <= [one.low for one in ends]) | (logs >= [one.high for one in ends])
    west = new.groupby("client")["region"].first().eq("west")
    for name, hits in {
        ("kind", "rare"): new["kind"].eq("new"),
        ("kind", "missing"): new["kind"].isna(),
        ("amount", "missing"): new["amount"].isna(),
        ("amount", "clipped"): clipped,
        ("region", "rare"): west,
    }.items():
        assert counts[name].found == hits.sum(), name
        assert counts[name].share == pytest.approx(hits.mean())
        ids = new["client"] if len(hits) == len(new) else hits.index
        apart = hits.astype(float).groupby(ids).transform("mean") - hits.mean()
        assert counts[name].variance == pytest.approx((apart**2).mean()), name
    assert len(counts) == 5
    assert from_dict(json.loads(json.dumps(to_dict(counts)))) == counts


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (lambda e: e.assign(kind="zzz"), "kind", r"no value of 'kind' occurred .*\('food', "),
        (
            lambda e: e.assign(amount=e["amount"] * 1e6),
            "amount",
            "100.0% of 'amount' are at an end",
        ),
        (lambda e: e.assign(amount=np.nan), "amount", "100.0% of 'amount' are missing; .* 0.0%"),
        (
            lambda e: e.assign(kind=e["kind"].mask(np.arange(len(e)) % 10 == 0, "q")),
            "kind",
            "of 'kind' are values that did not occur",
        ),
    ],
)
def test_new_events_unlike_those_of_training(
    model: EmbeddingModel, change: Change, field: str, says: str
) -> None:
    events = change(purchases(60, seed=4))
    with pytest.warns(UserWarning, match=f"events: .*{says}") as told:
        model.embed(events)
    assert len(told) == 1
    assert model.drift is not None
    (row,) = model.drift.table.query("outside").itertuples()
    assert row.field == field
    assert not row.low <= row.share <= row.high


def test_other_customers_of_the_same_shop_are_no_drift(model: EmbeddingModel) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(5):
            model.embed(purchases(200, seed=10 + seed))
        for _, one in purchases(60, seed=3).groupby("customer"):
            model.embed(one)
        # Of a few events nothing is concluded.
        model.embed(purchases(60, seed=3).assign(kind="zzz").iloc[:5])
    assert model.drift is not None
    assert model.drift.table.query("kind == 'rare'")["share"].item() == 1.0


def test_a_run_of_an_earlier_version_has_no_shares(shop_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(shop_run, run)
    described = json.loads((run / "model.json").read_text("utf-8"))
    del described["shares"]
    (run / "model.json").write_text(json.dumps(described), "utf-8")
    reseal(run)
    model = load(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.embed(purchases(60).assign(amount=np.nan))
    assert model.drift is not None
    assert model.drift.table["training"].isna().all()
    with pytest.warns(UserWarning, match="no value of 'kind' occurred in the training data"):
        model.embed(purchases(60).assign(kind="zzz"))


def test_the_command_shows_shares_of_other_data(
    shop_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    purchases(50, seed=8).assign(kind="zzz").to_csv(tmp_path / "new.csv", index=False)
    prepare("table", tmp_path / "new", source=tmp_path / "new.csv", like=shop_run)
    words = [f"run={shop_run}", f"prepared={tmp_path / 'new'}", f"output={tmp_path / 'vectors'}"]
    monkeypatch.setattr("sys.argv", ["grap-seq", "embed", *words])
    cli.main()
    shown = capsys.readouterr().out
    assert "shares of values" in shown
    assert "100.00%" in shown
    assert "outside its range" in shown
    assert "warning: no value of 'kind' occurred in the training data" in shown
