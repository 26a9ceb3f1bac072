"""Models go to the hub and come back as they were, and nothing else goes with them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from huggingface_hub import constants

from grap_seq import cli, load, predict
from grap_seq.hub.card import card
from tests.evaluation.two_labels import events
from tests.hub.fake import Hub

# The runs are those of the tests of predictors.
pytestmark = pytest.mark.xdist_group("predictor")
NAME = "owner/shop.v1"
MODEL = {"model.safetensors", "model.json", "schema.yaml", "vocab.json", "checksums.jsonl"}
CARD = {"README.md"}
FEW = events()[events()["customer"] < 7].drop(columns=["churned", "toys"])


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def mine(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub in which the user may write."""
    hub.kind, hub.repository, hub.token = "models", NAME, "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return hub


def test_a_model_comes_back_as_it_was(mine: Hub, two_labels: dict[str, Path]) -> None:
    model = load(two_labels["pretrained"], device="cpu")
    address = model.push_to_hub(NAME)
    assert address.startswith(f"{constants.ENDPOINT}/{NAME}/commit/")
    assert mine.private is True
    further = {f"labels/toys/{name}" for name in ("classifier.json", "evaluation.json")}
    assert mine.files.keys() == MODEL | CARD | {"classifier.json", "evaluation.json"} | further
    # No path of this machine, no token, and no pickle.
    for name, content in mine.files.items():
        assert str(two_labels["pretrained"].parent).encode() not in content, name
        assert b"hf_secret" not in content, name
        assert not content.startswith((b"\x80", b"PK")), name
    again = load(NAME, device="cpu")
    pd.testing.assert_frame_equal(again.embed(FEW), model.embed(FEW))
    pd.testing.assert_frame_equal(again.predict_proba(FEW), model.predict_proba(FEW))
    pd.testing.assert_frame_equal(again.predict(FEW, "toys"), model.predict(FEW, "toys"))
    pd.testing.assert_frame_equal(predict(NAME, FEW, device="cpu"), model.predict_proba(FEW))
    # What came from the hub can go there again, though its run is elsewhere.
    again.push_to_hub(NAME)
    assert "is not known here" in mine.files["README.md"].decode()


def test_another_model_takes_its_place(mine: Hub, two_labels: dict[str, Path]) -> None:
    load(two_labels["pretrained"], device="cpu").push_to_hub(NAME, private=False)
    assert mine.private is False
    mine.files["notes.txt"] = b"mine"
    cli.run(["push", f"run={two_labels['churned']}", f"to={NAME}", "license=mit"])
    assert mine.files.keys() == MODEL | CARD | {"head.safetensors", "notes.txt"}
    own, again = load(two_labels["churned"], device="cpu"), load(NAME, device="cpu")
    pd.testing.assert_frame_equal(again.predict_proba(FEW), own.predict_proba(FEW))
    assert "notes.txt" not in {name for name, _ in mine.fetched}
    assert "license: mit" in mine.files["README.md"].decode()


def test_the_card_says_what_the_run_is(mine: Hub, two_labels: dict[str, Path]) -> None:
    run = two_labels["pretrained"]
    load(run, device="cpu").push_to_hub(NAME)
    _, header, text = mine.files["README.md"].decode().split("---\n", 2)
    head = yaml.safe_load(header)
    assert (head["library_name"], head["license"]) == ("grap_seq", "other")
    assert f'grap_seq.load("{NAME}")' in text
    for column in ("customer", "when", "kind", "amount"):
        assert f"| `{column}` |" in text
    sizes = json.loads((two_labels["prepared"] / "manifest.json").read_text("utf-8"))["splits"]
    train = sizes["train"]
    assert f"| train | {train['sequences']} | {train['events']:,} |" in text
    last = pd.read_parquet(run / "weights.parquet").filter(like="weight/").iloc[-1]
    for name, weight in last.items():
        assert f"| `{str(name).removeprefix('weight/')}` | {weight:.3f} |" in text
    for folder in (run, run / "labels" / "toys"):
        scores = json.loads((folder / "evaluation.json").read_text("utf-8"))["test"]
        assert f"| embedding | {scores['embedding']:.3f} |" in text
    assert "Nobody may use the model until it is" in text
    # No values of the data.
    assert not {"books", "food"} & set(text.replace("`", " ").split())


def test_odd_names_do_not_break_the_card(two_labels: dict[str, Path]) -> None:
    model = load(two_labels["pretrained"], device="cpu")
    model.schema = dataclasses.replace(model.schema, name="a|b`c\n# d")
    text = card(model, NAME, None)
    assert r"from the dataset `a\|b'c\n# d`." in text


def test_a_folder_wins(mine: Hub, two_labels: dict[str, Path]) -> None:
    load(two_labels["pretrained"], device="cpu").push_to_hub(NAME)
    Path(NAME).parent.mkdir()
    with pytest.raises(FileNotFoundError, match="shp holds no finished run"):
        load("owner/shp")
    shutil.copytree(two_labels["churned"], NAME)
    assert load(NAME, device="cpu").run == Path(NAME)
    assert not mine.fetched


def test_without_a_network_what_was_fetched_is_there(
    mine: Hub, two_labels: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(two_labels["churned"], device="cpu")
    model.push_to_hub(NAME)
    load(NAME)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    pd.testing.assert_frame_equal(load(NAME, device="cpu").embed(FEW), model.embed(FEW))
    with pytest.raises(ConnectionError, match=r"no folder owner/other here, and http.* could not"):
        load("owner/other")
    with pytest.raises(ConnectionError, match=r"could not push to owner/other .*run the same"):
        model.push_to_hub("owner/other")


def test_a_repository_without_a_model(mine: Hub, two_labels: dict[str, Path]) -> None:
    mine.files = {"README.md": b"hello", "model.safetensors": b"of another library"}
    with pytest.raises(
        FileNotFoundError, match=r"holds no model of grap_seq \(no model.json, schema.yaml, vocab"
    ):
        load(NAME)
    with pytest.raises(FileNotFoundError, match=r"no model owner/other on http.*hf auth login"):
        load("owner/other")
    model = load(two_labels["churned"], device="cpu")
    model.push_to_hub(NAME)
    content = mine.files["model.safetensors"]
    mine.files["model.safetensors"] = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    with pytest.raises(ValueError, match="is damaged: its bytes have another checksum"):
        load(NAME)


def test_who_may_not_write_is_told(
    mine: Hub, two_labels: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(two_labels["churned"], device="cpu")
    with pytest.raises(ValueError, match="'shop' is no name of a repository; write owner/name"):
        model.push_to_hub("shop")
    with pytest.raises(ValueError, match="to=shop: write owner/name of a repository"):
        cli.run(["push", f"run={two_labels['churned']}", "to=shop"])
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(PermissionError, match=r"does not let you write to .*hf auth login"):
        model.push_to_hub(NAME)
    assert not mine.files
