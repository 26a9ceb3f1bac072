"""Downloads from a local server that knows ranges and sometimes drops the connection."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from grap_seq.prep.fetch import download as module
from grap_seq.prep.fetch.download import download

NAMES = ("big.bin", "small.txt")
CONTENT = {"big.bin": bytes(range(256)) * 4000, "small.txt": b"RecordID\n1\n"}


class Server(ThreadingHTTPServer):
    """What is served, which requests came, and where the next answers end."""

    files: dict[str, bytes]
    requests: list[tuple[str, int]]
    cuts: list[int]
    ranges: bool


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        given = self.headers.get("Range", "bytes=0-") if self.server.ranges else "bytes=0-"
        start = int(given.removeprefix("bytes=").removesuffix("-"))
        self.server.requests.append((name, start))
        if start and start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if name == "big.bin" and self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        sums = "".join(f"{hashlib.sha256(CONTENT[n]).hexdigest()}  {n}\n" for n in NAMES)
        server.files = {**CONTENT, "SHA256SUMS.txt": sums.encode()}
        server.requests, server.cuts, server.ranges = [], [], True
        address = f"http://127.0.0.1:{server.server_port}/data"
        listed = module.Site(address, NAMES, "SHA256SUMS.txt")
        known = {name: hashlib.sha256(CONTENT[name]).hexdigest() for name in NAMES}
        sites = {"physionet2012": listed, "movielens": module.Site(address, NAMES, known)}
        monkeypatch.setattr(module, "SOURCES", sites)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _complete(folder: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def test_all_files_arrive_and_are_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    assert download("physionet2012", tmp_path / "raw") == tmp_path / "raw"
    assert _complete(tmp_path / "raw")
    server.requests.clear()
    download("physionet2012", tmp_path / "raw")
    assert server.requests == [("SHA256SUMS.txt", 0)]


def test_known_checksums_are_asked_of_nobody(server: Server, tmp_path: Path) -> None:
    download("movielens", tmp_path)
    assert _complete(tmp_path)
    assert server.requests == [("big.bin", 0), ("small.txt", 0)]
    server.requests.clear()
    download("movielens", tmp_path)
    assert server.requests == []


def test_cut_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [500_000, 100_000]
    download("physionet2012", tmp_path)
    assert _complete(tmp_path)
    starts = [start for name, start in server.requests if name == "big.bin"]
    assert starts[0] == 0
    assert 490_000 < starts[1] <= 500_000
    assert 580_000 < starts[2] <= 600_000


def test_connection_that_stays_bad_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts = [20_000] * module.ATTEMPTS
    with pytest.raises(ConnectionError, match="run the same command again to continue, or copy"):
        download("physionet2012", tmp_path)
    part = tmp_path / "big.bin.part"
    size = part.stat().st_size
    assert size > 10_000 * module.ATTEMPTS
    server.requests.clear()
    download("physionet2012", tmp_path)
    assert ("big.bin", size) in server.requests
    assert _complete(tmp_path)


def test_killed_just_before_the_rename(server: Server, tmp_path: Path) -> None:
    (tmp_path / "big.bin.part").write_bytes(CONTENT["big.bin"])
    download("physionet2012", tmp_path)
    assert _complete(tmp_path)


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "big.bin.part").write_bytes(b"x" * 10)
    download("physionet2012", tmp_path)
    assert _complete(tmp_path)


def test_a_server_without_an_end_does_not_fill_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 100_000)
    with pytest.raises(ValueError, match=r"big\.bin has more than 100,000 bytes: not fetched"):
        download("movielens", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_wrong_content_is_removed(server: Server, tmp_path: Path) -> None:
    server.files["big.bin"] = b"changed"
    with pytest.raises(ValueError, match=r"big\.bin arrived with another SHA-256"):
        download("physionet2012", tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.files["big.bin"] = CONTENT["big.bin"]
    (tmp_path / "small.txt").write_bytes(b"damaged later")
    download("physionet2012", tmp_path)
    assert _complete(tmp_path)


def test_errors_name_the_way_on(server: Server, tmp_path: Path) -> None:
    del server.files["big.bin"]
    with pytest.raises(ConnectionError, match=r"404.*copy big\.bin, small\.txt into"):
        download("physionet2012", tmp_path)
    server.files["SHA256SUMS.txt"] = b"0  other\n"
    with pytest.raises(ValueError, match=r"lists no checksum for big\.bin, small\.txt"):
        download("physionet2012", tmp_path)
    with pytest.raises(ValueError, match=r"dataset 'physionet2021'; did you mean 'physionet2012'"):
        download("physionet2021", tmp_path)
