"""Exported models beside `model.embed`, from raw events on, in other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import grap_seq
from grap_seq import cli
from grap_seq.export.reader import as_text, inputs

SMALL: dict[str, Any] = {"epochs": 1, "select": "last", "batch_size": 8, "event_width": 8}
HIDDEN: dict[str, Any] = {
    "dataset.hidden": 8,
    "dataset.transformer.hidden": 8,
    "dataset.transformer.feedforward": 8,
    "trainer.threads": 1,
}
BOUNDARY = pd.Timestamp("2024-02-01")


def _events(customers: int = 40, seed: int = 0) -> pd.DataFrame:
    """Dates, some of them equal, missing cells of every kind, and a fact about each customer."""
    rng = np.random.default_rng(seed)
    count = 12 * customers
    minutes = rng.integers(0, 30, count) * 1440 + rng.integers(0, 4, count) * 300
    frame = pd.DataFrame(
        {
            "customer": rng.integers(0, customers, count),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, unit="min"),
            "shop": rng.choice(np.array(["a", "7", "true", None], dtype=object), count),
            "amount": np.where(rng.random(count) < 0.1, np.nan, rng.lognormal(3, 1, count)),
            "score": np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count)),
            "place": rng.integers(0, 3, count),
        }
    )
    return frame.assign(region=frame["customer"] % 3, label=frame["customer"] % 2)


DESCRIBED: dict[str, Any] = {
    "id": "customer",
    "time": "at",
    "time_unit": "hour",
    "categorical": ["shop"],
    "numerical": {"amount": {"log": True}, "score": {"by": "shop"}},
    "calendar": ["hour", "weekday"],
    "static": {"categorical": ["region"]},
    "tie_order": ["place"],
    "until": "2024-02-01",
    "label": "label",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return grap_seq.prepare(_events(), folder / "data", **DESCRIBED).path


@pytest.fixture(scope="module", params=["gru", "transformer", "ht_transformer", "rotary"])
def run(
    request: pytest.FixtureRequest, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> grap_seq.Run:
    name = request.param
    encoder = {"name": "transformer", "rotary": True} if name == "rotary" else name
    folder = tmp_path_factory.mktemp(name) / "run"
    return grap_seq.pretrain(prepared, run=folder, encoder=encoder, **SMALL, **HIDDEN)


def _histories(frame: pd.DataFrame) -> Any:
    cells = frame.astype(object).where(frame.notna(), None)
    return [rows.to_dict("records") for _, rows in cells.groupby("customer", sort=True)]


def _fed(folder: Path, frame: pd.DataFrame) -> dict[str, Any]:
    coder = json.loads((folder / "coder.json").read_text("utf-8"))
    histories = _histories(frame)
    return inputs(coder, histories, [BOUNDARY] * len(histories))


def test_onnx_runtime_embeds_raw_events_alike(run: grap_seq.Run, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    from grap_seq.export.write import export

    # Shorter than most histories; below it is longer than all of them.
    run.model.eval_length = 5
    model, _ = export(run.model, tmp_path)
    session = onnxruntime.InferenceSession(str(model))
    # Other customers, lengths and values than any that were seen.
    for frame in (_events(7, seed=5), _events(1, seed=6).head(1)):
        (got,) = session.run(["embeddings"], _fed(tmp_path, frame))
        expected = run.model.embed(frame)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected.to_numpy(), rtol=1e-5, atol=1e-5)


def test_torch_export_embeds_alike(run: grap_seq.Run, tmp_path: Path) -> None:
    run.model.eval_length = 1200
    cli.run(["export", f"run={run.path}", "format=torch_export", f"output={tmp_path}"])
    program = torch.export.load(tmp_path / "model.pt2").module()
    frame = _events(5, seed=9)
    fed = {name: torch.from_numpy(value) for name, value in _fed(tmp_path, frame).items()}
    fields = [fed[f"field_{place}"] for place in range(len(fed) - 3)]
    got = program(fed["times"], fed["lengths"], fed["until"], *fields)
    expected = run.model.embed(frame).to_numpy()
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_numbers_as_times_and_no_recency(shop: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")
    from tests.shop import purchases

    run = grap_seq.pretrain(shop, run=tmp_path / "run", **SMALL, **HIDDEN)
    cli.run(["export", f"run={run.path}"])
    folder = run.path / "export"
    coder = json.loads((folder / "coder.json").read_text("utf-8"))
    frame = purchases(6, seed=3)
    fed = inputs(coder, _histories(frame.sample(frac=1, random_state=0)))
    (got,) = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, fed)
    np.testing.assert_allclose(got, run.model.embed(frame).to_numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(FileExistsError, match=r"model.onnx exists; remove it, or name another"):
        cli.run(["export", f"run={run.path}"])


def test_an_encoder_of_another_library(shop: Path, tmp_path: Path) -> None:
    run = grap_seq.pretrain(shop, run=tmp_path / "run", encoder="ptls_rnn", **SMALL, **HIDDEN)
    with pytest.raises(ValueError, match="RnnEncoder cannot be exported"):
        cli.run(["export", f"run={run.path}"])
    assert not list((run.path / "export").glob("*"))


def test_the_missing_extra_is_named(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = grap_seq.pretrain(shop, run=tmp_path / "run", **SMALL, **HIDDEN)
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"pip install 'grap-seq\[onnx\]'"):
        cli.run(["export", f"run={run.path}"])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        *((7, "7"), (7.0, "7"), ("7.0", "7"), ("-7.00", "-7"), ("7.5", "7.5"), ("1.2.0", "1.2.0")),
        *((True, "true"), ("TRUE", "true"), ("", None), (None, None), (float("nan"), None)),
    ],
)
def test_text_of_categories(cell: Any, text: str | None) -> None:
    assert as_text(cell) == text
