"""States go on with new events: the embeddings of whole histories, and no history read again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import grap_seq
from grap_seq import States, commands, load
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.nn.build import build_model
from grap_seq.prep.prepare import prepare
from tests.shop import SPEC, purchases

SMALL = [
    *("dataset=table", "dataset.hidden=8", "event_width=8", "batch_size=16", "epochs=1"),
    *("trainer.threads=1", "select=last"),
]


def visits(customers: int, seed: int = 0) -> pd.DataFrame:
    found = purchases(customers, seed).drop(columns="churned")
    # Text ids, dates, and a field that is the same for all events of a customer.
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(found["when"], unit="D")
    region = np.where(found["customer"] % 3, "north", "south")
    return found.assign(customer=found["customer"].map("c{:03d}".format), when=when, region=region)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("update")
    visits(60).to_csv(folder / "events.csv", index=False)
    spec = yaml.safe_load(SPEC) | {"label": None, "until": "2024-03-01", "calendar": ["weekday"]}
    spec["static"] = {"categorical": ["region"]}
    (folder / "events.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    prepare("table", folder / "prepared", source=folder / "events.csv")
    commands.pretrain([*SMALL, f"prepared={folder / 'prepared'}", f"run={folder / 'run'}"])
    return folder


@pytest.fixture
def model(runs: Path) -> EmbeddingModel:
    return load(runs / "run", device="cpu")


def same(states: States, whole: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(states.embeddings, whole, rtol=0, atol=1e-5)


def test_every_day_s_events_give_the_embeddings_of_whole_histories(model: EmbeddingModel) -> None:
    events = visits(25, seed=3)
    days = events["when"].dt.floor("D").sort_values().unique()
    until = "2024-03-01"
    states = model.start(events[events["when"] < days[2]], until=until)
    at_start = states.embeddings.copy()
    for day in days[2:]:
        new = events[events["when"].dt.floor("D") == day]
        states = model.update(states, new.sample(frac=1, random_state=0), until=until)
    # Customers who came later are among them, and updates of one to several events.
    assert len(states) == 25 > len(at_start)
    same(states, model.embed(events, until=until))
    assert model.description["recency"] is not None
    assert not np.allclose(states.embeddings.loc[at_start.index], at_start, atol=1e-3)


def test_the_border_s_gap_counts(model: EmbeddingModel) -> None:
    events = visits(1, seed=3)
    cut = len(events) // 2
    states = model.start(events.iloc[:cut])
    later = events.iloc[cut:].assign(when=events["when"].iloc[cut:] + pd.Timedelta(days=5))
    same(model.update(states, later), model.embed(pd.concat([events.iloc[:cut], later])))
    moved = model.update(states, events.iloc[cut:]).embeddings
    assert not np.allclose(moved, model.update(states, later).embeddings, atol=1e-4)


def test_states_are_kept_in_a_file(model: EmbeddingModel, tmp_path: Path) -> None:
    events = visits(12, seed=4)
    early = events["when"] < events["when"].median()
    states, file = model.start(events[early]), tmp_path / "states.parquet"
    states.save(file)
    again = grap_seq.States.load(file)
    pd.testing.assert_frame_equal(again.embeddings, states.embeddings)
    same(model.update(again, events[~early]), model.embed(events))
    # As any library reads it.
    assert pd.read_parquet(file)["customer"].tolist() == states.ids.tolist()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"states\.parquet is damaged .*model\.start"):
        States.load(file)
    events.to_parquet(file)
    with pytest.raises(ValueError, match="holds no states of this version"):
        States.load(file)
    with pytest.raises(FileNotFoundError, match=r"does not exist; states\.save"):
        States.load(tmp_path / "none")


def test_what_would_be_inexact_is_refused(model: EmbeddingModel) -> None:
    events = visits(4, seed=5)
    last = events.groupby("customer")["when"].transform("max")
    states = model.start(events[events["when"] < last])
    final = events[events["when"] == last]
    for back in (pd.Timedelta(days=9), None):
        old = final.assign(when=final["when"] - back) if back else events[events["when"] < last]
        with pytest.raises(ValueError, match=r"'c000' \(and 3 more\) has new events that are not"):
            model.update(states, old)
    with pytest.raises(ValueError, match=r"'c001' .*another value of 'region' than in its state"):
        model.update(states, final.assign(region="south"))
    model.eval_length = int(states.parts["events"].max())
    with pytest.raises(ValueError, match=r"are of the last \d+, which a state could not tell"):
        model.update(states, final)
    model.eval_length = 1200
    fresh = model.update(states.without(["c001", "who"]), events[events["customer"] == "c001"])
    assert len(fresh) == 4
    row = model.embed(events[events["customer"] == "c001"]).loc["c001"]
    np.testing.assert_allclose(fresh.embeddings.loc["c001"], row, atol=1e-5)


def test_what_cannot_go_on_is_refused(model: EmbeddingModel) -> None:
    events: Any = visits(4, seed=5)
    states = model.start(events)
    other = States(states.ids, states.parts, "another")
    with pytest.raises(ValueError, match=r"another model's; make them anew with model\.start"):
        model.update(other, events)
    with pytest.raises(TypeError, match=r"states: DataFrame given; model\.start"):
        model.update(states.embeddings, events)  # type: ignore[arg-type]
    transformer = {
        **{"name": "transformer", "class": "grap_seq.nn.transformer.TransformerEncoder"},
        **{"hidden": 8, "layers": 1, "heads": 2, "feedforward": 8},
    }
    described, gru = model.description, model.model
    model.description = {**described, "encoder": transformer}
    model.model = build_model(model.schema, model.description).eval()
    with pytest.raises(ValueError, match=r"encoder=transformer: .*encoder=gru.*model\.embed"):
        model.start(events)
    model.description, model.model = described, gru
    spec = dataclasses.replace(model.coder.state.spec, relative_time=True)
    model.coder.state = dataclasses.replace(model.coder.state, spec=spec)
    with pytest.raises(ValueError, match=r"relative_time: the times of new events would count"):
        model.start(events)
