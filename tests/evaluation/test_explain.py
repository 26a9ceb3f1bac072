"""What each event has moved: the same as scoring tables without its row, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from grap_seq import commands, load
from grap_seq.evaluation import explain
from grap_seq.prep.prepare import prepare

pytestmark = pytest.mark.xdist_group("explain")
SMALL = [
    *("dataset=table", "mode=supervised", "dataset.hidden=8", "event_width=8", "batch_size=16"),
    *("trainer.threads=1", "select=last", "head_hidden=0", "lr=0.02"),
]
START = pd.Timestamp("2024-01-01")


def alarms(customers: int = 120) -> pd.DataFrame:
    """Every second customer has one alarm among other events; several events fall on one day."""
    rng = np.random.default_rng(0)
    parts = []
    for customer in range(customers):
        count = int(rng.integers(3, 12))
        kinds = rng.choice(["food", "toys", "books"], count).astype(object)
        if customer % 2:
            kinds[rng.integers(count)] = "alarm"
        days = np.sort(rng.integers(0, 40, count))
        parts.append(
            pd.DataFrame(
                {
                    "customer": f"c{customer:03d}",
                    "day": START + pd.to_timedelta(days, unit="D"),
                    "kind": kinds,
                    "change": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
                    "region": "north" if customer % 3 else "south",
                    "alarmed": ["no", "yes"][customer % 2],
                    "alarms": 10.0 + (kinds == "alarm").sum(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


SPEC: dict[str, Any] = {
    **{"id": "customer", "time": "day", "time_unit": "day", "categorical": ["kind"]},
    **{"calendar": ["weekday"], "numerical": ["change"], "static": {"categorical": ["region"]}},
    "split": {"validation": 0.2, "test": 0.2, "seed": 1},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One that knows classes and until when, one that knows a number and times from zero."""
    folder = tmp_path_factory.mktemp("explain")
    specs = {
        "classes": {**SPEC, "label": "alarmed", "until": "2024-03-01"},
        "number": {
            **{**SPEC, "label": "alarms", "metric": {"alarms": "mae"}, "until": "newest"},
            **{"relative_time": True, "time": "hour", "time_unit": "hour", "calendar": []},
        },
    }
    events = alarms()
    events["hour"] = (events["day"] - START) / pd.Timedelta(hours=1)
    events.to_csv(folder / "events.csv", index=False)
    for name, spec in specs.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, **spec}), "utf-8")
        prepare("table", folder / f"{name}-data", source=folder / "events.csv", spec=path)
        epochs = 6 if name == "classes" else 1
        places = [f"prepared={folder / f'{name}-data'}", f"run={folder / name}"]
        commands.pretrain([*SMALL, *places, f"epochs={epochs}"])
    return {name: folder / name for name in specs}


def few() -> pd.DataFrame:
    """Some customers, without labels; one with a single event."""
    found = alarms(6)
    single = found.iloc[:1].assign(customer="single")
    found = pd.concat([found, single], ignore_index=True)
    found["hour"] = (found["day"] - START) / pd.Timedelta(hours=1)
    return found.drop(columns=["alarmed", "alarms"])


def expected(events: pd.DataFrame, score: Any) -> pd.DataFrame:
    """A plain loop over tables without the first, second, ... event of every customer.

    `score` is of tables: a number for each customer who is in it.
    """
    whole, place = score(events), events.groupby("customer").cumcount()
    moved = pd.Series(np.nan, events.index)
    for gone in range(place.max() + 1):
        rest = score(events[place != gone])
        owners = events.loc[place == gone, "customer"]
        moved[owners.index] = whole[owners].to_numpy() - rest.reindex(owners).to_numpy()
    return events.assign(moved=moved)


def same(found: pd.DataFrame, wanted: pd.DataFrame, column: str, time: str) -> None:
    """Both by id, time and fields, since several events have one time."""
    value = "change of the event" if "change of the event" in found else "change"
    keys = ["customer", time, "kind", value]
    order = found[["customer", time]]
    pd.testing.assert_frame_equal(order, order.sort_values(["customer", time]))
    found = found.sort_values(keys, ignore_index=True)
    wanted = wanted.rename(columns={"change": value}).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(found[keys], wanted[keys], check_dtype=False)
    np.testing.assert_allclose(found[column], wanted["moved"], atol=1e-5)
    assert found[column].isna().sum() == 1
    assert found[column].abs().max() > 1e-3


def test_a_class_is_explained_as_a_loop_does(runs: dict[str, Path]) -> None:
    model, events = load(runs["classes"], device="cpu"), few()
    found = model.explain(events.sample(frac=1, random_state=0))
    assert set(found["class"]) == {"yes"}
    whole = model.predict_proba(events)["yes"]
    np.testing.assert_allclose(found["score"], whole[found["customer"]], rtol=1e-6)

    same(found, expected(events, lambda rows: model.predict_proba(rows)["yes"]), "change", "day")
    other = model.explain(events, of="no")
    np.testing.assert_allclose(other["change"], -found["change"], atol=1e-6)


def test_a_number_is_explained_though_times_count_from_the_first(runs: dict[str, Path]) -> None:
    model, events = load(runs["number"], device="cpu"), few()
    newest = float(events["hour"].max())

    def score(rows: pd.DataFrame) -> Any:
        return model.predict(rows, until=newest)["alarms"]

    found = model.explain(events)
    same(found, expected(events, score), "change", "hour")
    assert "class" not in found


def test_without_a_label_the_embedding_s_way_counts(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, events = load(runs["classes"], device="cpu"), few()
    del model.description["head"]
    # Sequences longer than what the model sees, in blocks of one.
    model.eval_length = 5
    monkeypatch.setattr(explain, "BLOCK", 1)
    whole = model.embed(events)

    def near(rows: pd.DataFrame) -> Any:
        vectors = model.embed(rows)
        return -np.linalg.norm(vectors - whole.loc[vectors.index], axis=1) + 0 * vectors["emb_0000"]

    found = model.explain(events)
    wanted = expected(events, near)
    seen = found.groupby("customer").size()
    assert (seen == events.groupby("customer").size().clip(upper=5)).all()
    keys = ["customer", "day", "kind", "change"]
    merged = found.merge(wanted, on=keys, how="left").drop_duplicates(keys)
    assert len(merged) == len(found)
    np.testing.assert_allclose(merged["distance"], merged["moved"], atol=1e-5)
    two = model.explain(events, last=2)
    ends = found.groupby("customer").tail(2).reset_index(drop=True)
    pd.testing.assert_frame_equal(two, ends)


def test_the_event_that_decides_ranks_first(runs: dict[str, Path]) -> None:
    events = alarms()
    ids = pd.read_parquet(runs["classes"].parent / "classes-data" / "test")["customer"]
    tested = events[events["customer"].isin(ids)].drop(columns=["alarmed", "alarms"])
    found = load(runs["classes"], device="cpu").explain(tested)
    alarmed = found.groupby("customer").filter(lambda rows: (rows["kind"] == "alarm").any())
    first = alarmed.loc[alarmed.groupby("customer")["change"].idxmax(), "kind"]
    assert len(first) > 8
    assert (first == "alarm").all()


def test_what_cannot_be_explained_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    model, events = load(runs["classes"], device="cpu"), few()
    with pytest.raises(
        ValueError, match=r"of=maybe: no such class; did you mean 'yes'\? \(one of no, yes"
    ):
        model.explain(events, of="maybe")
    with pytest.raises(ValueError, match="last=0: give a number of events to explain"):
        model.explain(events, last=0)
    with pytest.raises(ValueError, match="events: no column 'kind'"):
        model.explain(events.drop(columns="kind"))
    numbers = load(runs["number"], device="cpu")
    with pytest.raises(ValueError, match="of=yes: no such class; 'alarms' is a number"):
        numbers.explain(events, of="yes")
    del model.description["head"]
    with pytest.raises(FileNotFoundError, match="has nothing that predicts 'alarmed'"):
        model.explain(events, label="alarmed")
    with pytest.raises(ValueError, match=r"of=yes: nothing in .* predicts a label"):
        model.explain(events, of="yes")
