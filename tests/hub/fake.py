"""A local server that answers as the Hugging Face hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """The files of one repository, what was asked for, and where the next answers end.

    Attributes:
        repository: its name.
        kind: "datasets" or "models".
        files: content by name.
        fetched: names that were asked for, and from which byte on.
        cuts: after how many bytes the next long answers end.
        sums: SHA-256 of files, where it is to be a wrong one.
        token: who may write; None: nobody.
        private: as the repository was made; None: it was not made here.
    """

    repository: str
    kind: str
    files: dict[str, bytes]
    fetched: list[tuple[str, int]]
    cuts: list[int]
    sums: dict[str, str]
    token: str | None
    private: bool | None

    @property
    def commit(self) -> str:
        """Of datasets always the same; of a model that of its files."""
        if self.kind == "datasets":
            return COMMIT
        parts = [name.encode() + content for name, content in sorted(self.files.items())]
        return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        api = f"/api/{hub.kind}/{hub.repository}"
        if path != "/api/validate-yaml" and (
            hub.token is None or self.headers.get("Authorization") != f"Bearer {hub.token}"
        ):
            self._json(401, {"error": "Invalid username or password."})
        elif path == "/api/validate-yaml":
            header = json.loads(body)["content"].split("---\n")[1]
            known = isinstance(yaml.safe_load(header), dict)
            self._json(200, {"errors": [] if known else [{"message": "no YAML"}], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            hub.repository = f"{asked['organization']}/{asked['name']}"
            hub.private = asked.get("visibility") == "private" or asked.get("private", False)
            self._json(200, {"url": f"{constants.ENDPOINT}/{hub.repository}"})
        elif path == f"{api}/preupload/main":
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
            self._json(200, {"files": modes})
        elif path == f"{api}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del hub.files[line["value"]["path"]]
            address = f"{constants.ENDPOINT}/{hub.repository}/commit/{hub.commit}"
            self._json(200, {"commitUrl": address, "commitOid": hub.commit})
        else:
            self._json(404, {"error": "not found"})

    def _answer(self, body: bytes | None) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        api, place = (
            f"/api/{hub.kind}/{hub.repository}",
            "" if hub.kind == "models" else "/datasets",
        )
        if path in (api, f"{api}/revision/main"):
            files = [
                {"rfilename": name, "blobId": "0" * 40, **self._size(name)} for name in hub.files
            ]
            info = {"id": hub.repository, "sha": hub.commit, "siblings": files}
            self._send(200, json.dumps(info).encode(), {}, body)
            return
        if path in (f"{api}/tree/main", f"{api}/tree/{hub.commit}"):
            entries = [
                {"type": "file", "path": name, "oid": "0" * 40, **self._size(name)}
                for name in hub.files
            ]
            self._send(200, json.dumps(entries).encode(), {}, body)
            return
        start = f"{place}/{hub.repository}/resolve/{hub.commit}/"
        name = path.removeprefix(start)
        content = hub.files.get(name)
        if not path.startswith(start) or content is None:
            code = "EntryNotFound" if path.startswith(start) else "RepoNotFound"
            self._send(404, b"", {"X-Error-Code": code}, body)
            return
        etag = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        first = 0
        if body is None:
            given = self.headers.get("Range", "bytes=0-")
            first = int(given.removeprefix("bytes=").partition("-")[0])
            hub.fetched.append((name, first))
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(206 if first else 200, content[first:], headers, body)

    def _size(self, name: str) -> dict[str, object]:
        content = self.server.files[name]
        sha = self.server.sums.get(name, hashlib.sha256(content).hexdigest())
        lfs = {"sha256": sha, "oid": sha, "size": len(content), "pointerSize": 1}
        return {"size": len(content), "lfs": lfs}

    def _json(self, status: int, content: object) -> None:
        self._send(status, json.dumps(content).encode(), {}, None)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], head: bytes | None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if head is None:
            if len(content) > 100_000 and self.server.cuts:
                content = content[: self.server.cuts.pop(0)]
                self.close_connection = True
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A hub that the library asks in place of the real one, and an empty cache."""
    with Hub(("127.0.0.1", 0), Handler) as server:
        server.files, server.fetched, server.cuts, server.sums = {}, [], [], {}
        server.repository, server.kind, server.token, server.private = "a/b", "datasets", None, None
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
