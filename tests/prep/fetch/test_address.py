"""Sources at an address: the same bytes as from files here, and no secrets in what is said."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pandas as pd
import pytest

from grap_seq import commands
from grap_seq.prep.fetch.address import as_source
from grap_seq.prep.fetch.remote import shown
from grap_seq.prep.folder.manifest import Manifest
from grap_seq.prep.prepare import prepare
from tests.prep.helpers import GOOD, content_of, write_source

LABELS = "client,y\n1,a\n2,b\n3,a\n"


class Server:
    """A web server of a folder on the loopback, which may do something before it serves a path."""

    def __init__(self, folder: Path) -> None:
        self.served: Counter[str] = Counter()
        self.at: dict[str, Callable[[], Any]] = {}
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                server.served[self.path] += 1
                # Before the answer: who has that may already ask for the next one.
                server.at.pop(self.path, bool)()
                super().do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(folder))
        )
        self.host = f"127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A table in three parts in folders, with its description and labels beside it."""
    write_source(tmp_path / "raw", label="y", labels="labels.csv").unlink()
    (tmp_path / "raw" / "labels.csv").write_text(LABELS)
    for client, kind in ((1, "a"), (2, "b/+c"), (3, "x=y z")):
        folder = tmp_path / "raw" / "events" / f"kind={kind.replace('/', '%2F')}"
        folder.mkdir(parents=True)
        table = pd.DataFrame({"client": client, "when": [0, 1], "amount": [1.5, 2.0]})
        table.to_parquet(folder / "part-0.parquet")
    return tmp_path / "raw"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "raw").mkdir(exist_ok=True)
    server = Server(tmp_path / "raw")
    yield server
    server.close()


@pytest.mark.parametrize("protocol", ["memory", "http", "file"])
def test_same_folder_as_from_files_here(
    tmp_path: Path, raw: Path, server: Server, protocol: str
) -> None:
    prepare("table", tmp_path / "plain", source=raw / "events")
    places = {
        "memory": "memory://bucket/raw/events/",
        "http": f"http://{server.host}/events/",
        "file": f"file://{raw}/events",
    }
    if protocol == "memory":
        fsspec.filesystem("memory").put(str(raw), "/bucket/raw", recursive=True)
    commands.prepare(["dataset=table", f"source={places[protocol]}", f"output={tmp_path / 'out'}"])
    assert content_of(tmp_path / "out") == content_of(tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "plain", "raw"]
    source = Manifest.load(tmp_path / "out").source
    assert source.pop("address", None) == (None if protocol == "file" else places[protocol])
    assert source == Manifest.load(tmp_path / "plain").source
    assert not any(count > 2 for path, count in server.served.items() if "parquet" in path)


def test_one_file_with_a_secret_in_its_address(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_source(tmp_path / "raw")
    prepare("table", tmp_path / "plain", source=source)
    address = f"http://keyword:s3cr%2Ft@{server.host}/events.csv?token=hidden"
    assert shown(address) == "http://***@" + server.host + "/events.csv?***"
    prepare("table", tmp_path / "out", source=address)
    assert content_of(tmp_path / "out") == content_of(tmp_path / "plain")
    (tmp_path / "raw" / "events.csv").write_text(GOOD.replace("5", "five"))
    server.at["/absent.csv?token=hidden"] = bool
    for wrong in (address, address.replace("events.csv", "absent.csv"), "s3://k:s3cr/t@b/e/"):
        with pytest.raises((ValueError, OSError)) as found:
            prepare("table", tmp_path / "other", source=wrong)
        said = "".join([*traceback.format_exception(found.value), *capsys.readouterr()])
        written = b"".join(content_of(tmp_path, manifest=True).values()).decode("latin-1")
        for secret in ("keyword", "s3cr%2Ft", "s3cr/t", "hidden"):
            assert secret not in said
            assert secret not in written
        # A row of a file that was fetched is named by its place here.
        assert ("***" in said) == (wrong != address)


def test_a_part_that_changes_or_disappears_is_named(
    tmp_path: Path, raw: Path, server: Server
) -> None:
    address = f"http://{server.host}/events/"
    prepare("table", tmp_path / "plain", source=raw / "events")
    first, last = "/events/kind=a/part-0.parquet", "/events/kind=x=y%20z/part-0.parquet"
    part = raw / "events" / "kind=x=y z" / "part-0.parquet"
    kept = shutil.copy2(part, tmp_path / "kept")
    server.at[first] = lambda: part.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"kind=x=y z/part-0\.parquet at http.* not there any more"
    ):
        prepare("table", tmp_path / "out", source=address)
    shutil.copy2(kept, part)
    begun = raw / "events" / "kind=a" / "part-0.parquet"
    content = begun.read_bytes()
    server.at[last] = lambda: begun.write_bytes(content + b"more")
    with pytest.raises(ValueError, match=r"kind=a/part-0\.parquet at http.* changed while"):
        prepare("table", tmp_path / "out", source=address)
    begun.write_bytes(content)
    # A web server tells whole seconds.
    os.utime(begun, (0, 0))
    server.served.clear()
    prepare("table", tmp_path / "out", source=address)
    assert content_of(tmp_path / "out") == content_of(tmp_path / "plain")
    # What had come whole and has not changed is not fetched again.
    assert (server.served[first], server.served[last]) == (1, 0)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=r"package for s3://; run `pip install 's3fs'`"):
        prepare("table", out, source="s3://bucket/events/")
    with pytest.raises(ValueError, match=r"fsspec knows no such protocol"):
        prepare("table", out, source="s4://bucket/events/")
    with pytest.raises(FileNotFoundError, match=r"no \.csv or \.parquet file at memory://absent"):
        prepare("table", out, source="memory://absent/")
    fsspec.filesystem("memory").pipe("/alone/events.csv", GOOD.encode())
    address = "memory://alone/events.csv"
    with pytest.raises(FileNotFoundError, match=r"no description events\.yaml beside memory://"):
        prepare("table", out, source=address)
    with pytest.raises(ValueError, match=r"copy one part of memory://alone/events\.csv"):
        commands.prepare(["--suggest", f"source={address}"])
    (tmp_path / "out.source").mkdir()
    (tmp_path / "out.source" / "mine").touch()
    with pytest.raises(FileExistsError, match=r"out\.source is needed for what is fetched"):
        prepare("table", out, source=address, spec=write_source(tmp_path).with_suffix(".yaml"))
    assert (tmp_path / "out.source" / "mine").exists()


def test_what_is_an_address() -> None:
    for text in ("s3://bucket/x", "https://host/x.csv?a=b", "memory://x"):
        assert as_source(text) == text
    for text in ("data/x.csv", "s3:/x", "glob:a/*.csv", "C:x"):
        assert as_source(text) == Path(text)
    assert as_source("file:///data/x y.csv") == Path("/data/x y.csv")


def test_a_server_that_is_not_there_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.close()
    for name in ("x.parquet", "folder"):
        with pytest.raises(ConnectionError, match=r"cannot be fetched .*see to it that you may"):
            prepare("table", tmp_path / "out", source=f"http://{server.host}/{name}")
