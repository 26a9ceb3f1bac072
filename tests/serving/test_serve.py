"""The service answers as the model does, whatever comes at once, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grap_seq import commands, load
from grap_seq.config import compose
from tests.serving.conftest import MEGABYTES, Client, Events, serving

ROOT = Path(__file__).parents[2]
ONE = {"customer": 7, "when": 1.5, "kind": "food", "amount": 2.0}


def test_embeddings_are_those_of_the_model(
    client: Client, shop_run: Path, events: Callable[[int, int], Events]
) -> None:
    asked = events(20, 29)
    # Customers in any order, and of two kinds of missing.
    asked = asked[5:] + asked[:5]
    asked[3]["amount"] = asked[4]["kind"] = None
    status, answer = client.post("/embed", events=asked)
    assert status == 200
    found = pd.DataFrame(answer["embeddings"], answer["ids"]).sort_index().to_numpy(np.float32)
    assert answer["ids"] == list(dict.fromkeys(event["customer"] for event in asked))
    expected = load(shop_run).embed(pd.DataFrame(asked))
    np.testing.assert_array_equal(found, expected.to_numpy())


def test_two_hundred_clients_at_once(
    client: Client, shop_run: Path, events: Callable[[int, int], Events]
) -> None:
    before = client.metrics()
    expected = load(shop_run).embed(pd.DataFrame(events(0, 199)))

    def ask(number: int) -> tuple[int, Any]:
        found = []
        for _ in range(2):
            # All of them call their customer 7: they must not be taken for one.
            asked = [event | {"customer": 7} for event in events(number, number)]
            found.append(client.post("/embed", events=asked))
        assert found[0][0] == found[1][0]
        return found[1]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert [status for status, _ in answers] == [200] * 200
    assert all(answer["ids"] == [7] for _, answer in answers)
    vectors = np.concatenate([answer["embeddings"] for _, answer in answers])
    np.testing.assert_allclose(vectors, expected.to_numpy(), rtol=1e-4, atol=1e-5)
    after = client.metrics()
    asked, passes = (
        after[name] - before.get(name, 0)
        for name in ("grap_seq_pass_requests_sum", "grap_seq_pass_requests_count")
    )
    assert asked == 400
    # They shared forward passes.
    assert passes < 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([ONE | {"amount": float("nan")}], "events[0], 'amount': give a finite number or null"),
        ([ONE, ONE | {"when": float("inf")}], "events[1], 'when': give a finite number"),
        ([ONE | {"when": "noon"}], "events[0], 'when': give a finite number"),
        ([ONE | {"amount": "2.0"}], "events[0], 'amount': give a finite number or null"),
        ([ONE | {"kind": ["food"]}], "events[0], 'kind': give text, a finite number"),
        ([ONE | {"customer": None}], "events[0], 'customer': give a whole number of 64 bits"),
        ([ONE | {"customer": 2**63}], "events[0], 'customer': give a whole number of 64 bits"),
        ([ONE | {"kid": "food"}], "events[0] has 'kid', which is none of its fields"),
        ([{"customer": 7, "when": 1.0, "kind": "food"}], "events[0] has no 'amount'"),
        ([], "events: List should have at least 1 item"),
        ([7], "events[0]: Input should be an object"),
        ("all", "events: Input should be a valid array"),
    ],
)
def test_bad_events(client: Client, body: Any, says: str) -> None:
    status, answer = client.post("/embed", events=body)
    assert status == 422
    assert answer["error"].startswith(says)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is no JSON"),
        (b'{"events": [', "the body is no JSON"),
        (b"\xff\xfe", "the body is no JSON"),
        (b"[" * 100_000, "the body is no JSON"),
        (b'{"events": [{"customer": NaN}]}', "events[0], 'customer': give a whole number"),
        (b"[]", "the body: Input should be an object"),
        (b"{}", "the body has no 'events'"),
        (json.dumps({"events": [ONE], "unti": 3}).encode(), "the body has 'unti'"),
        # The shop's description has no `until`.
        (json.dumps({"events": [ONE], "until": 3}).encode(), "the body has 'until'"),
    ],
)
def test_bad_bodies(client: Client, body: bytes, says: str) -> None:
    status, answer = client.send("POST", "/embed", body)
    assert status == 422
    assert json.loads(answer)["error"].startswith(says)


def test_a_hundred_megabytes_are_not_read(client: Client) -> None:
    size = 100_000_000
    for header in (f"content-length: {size}", "transfer-encoding: chunked"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as link:
            link.sendall(f"POST /embed HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n".encode())
            sent, block = 0, b" " * 65_536
            chunk = b"10000\r\n" + block + b"\r\n" if "chunked" in header else block
            try:
                while sent < size:
                    link.sendall(chunk)
                    sent += len(block)
            except OSError:
                # It has hung up.
                pass
            # What it reads are its own megabyte, and what lies in between.
            assert sent < 30_000_000, header
        assert client.send("GET", "/healthz")[0] == 200
    status, body = client.send("POST", "/embed", b" " * int(MEGABYTES * 1_000_000 + 1))
    assert status == 413
    assert json.loads(body)["error"].startswith("the body has more than 1 MB")


def test_metrics_say_how_long_and_how_unlike(
    client: Client, events: Callable[[int, int], Events]
) -> None:
    for start in range(0, 300, 100):
        asked = [event | {"kind": "zzz"} for event in events(start, start + 99)]
        assert client.post("/embed", events=asked)[0] == 200
    found = client.metrics()
    name = '{field="kind",kind="rare"}'
    assert found[f"grap_seq_share{name}"] > 0.1
    assert found[f"grap_seq_share_training{name}"] == 0
    assert found[f"grap_seq_share_outside{name}"] == 1
    assert found['grap_seq_request_seconds_count{path="/embed",status="200"}'] > 0


def test_nothing_to_predict_is_no_address(client: Client) -> None:
    assert client.send("POST", "/predict", b"{}")[0] == 404
    status, body = client.send("GET", "/openapi.json")
    assert status == 200
    assert set(json.loads(body)["paths"]) == {"/embed", "/healthz", "/metrics"}


def test_predictions_are_those_of_the_model(
    shop_run: Path, shop: Path, tmp_path: Path, events: Callable[[int, int], Events]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(shop_run, run)
    few = ["boosting.binary.n_estimators=5", "boosting.binary.min_data_in_leaf=2"]
    commands.evaluate(
        [f"run={run}", f"prepared={shop}", "store=true", "folds=0", "seeds=1", "threads=1", *few]
    )
    for client in serving(run):
        asked = events(3, 12)
        status, answer = client.post("/predict", events=asked)
        assert status == 200
        expected = load(run).predict_proba(pd.DataFrame(asked))
        assert answer["names"] == list(expected.columns)
        assert answer["ids"] == list(expected.index)
        np.testing.assert_array_equal(answer["values"], expected.to_numpy())
        assert client.post("/predict", events=asked, label="churned")[1] == answer
        status, answer = client.post("/predict", events=asked, label="chrned")
        assert status == 422
        assert answer["error"].startswith("label: Input should be 'churned'")


def test_a_process_answers_what_has_come_and_ends(
    shop_run: Path, events: Callable[[int, int], Events]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "grap_seq", "serve", f"run={shop_run}", "port=0"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    body = json.dumps({"events": events(0, 299)}).encode()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"Serving {shop_run} at http://127.0.0.1:"), line
        port = int(line.partition("127.0.0.1:")[2].partition(";")[0])
        connections = [HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(20)]
        for connection in connections:
            # The server has taken the connection when it has answered on it.
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        for connection in connections:
            connection.request("POST", "/embed", body)
        # What has been sent has been read when the first answer is there.
        answers = [connections[0].getresponse()]
        process.send_signal(signal.SIGTERM)
        answers += [connection.getresponse() for connection in connections[1:]]
        assert [answer.status for answer in answers] == [200] * len(connections)
        assert all(len(json.loads(answer.read())["ids"]) == 300 for answer in answers)
        # By the signal itself, which a shell calls 143.
        assert process.wait(120) == -signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            Client(port).send("GET", "/healthz")
    finally:
        process.kill()
        process.communicate()


def test_an_answer_is_not_held_back(client: Client) -> None:
    """A connection that is kept open has its answers at once: the halves of one do not wait."""
    times = []
    with closing(HTTPConnection("127.0.0.1", client.port, timeout=60)) as connection:
        for _ in range(20):
            start = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            times.append(time.perf_counter() - start)
    # Of a kernel that waits for an acknowledgement all but the first few take 40 ms.
    assert min(times[10:]) < 0.035


def test_settings() -> None:
    assert compose("serve", ["run=x"]).host == "127.0.0.1"
    for word in ("port=70000", "port=x", "body_megabytes=0", "waiting=0", "threads=0"):
        with pytest.raises(ValueError, match=word.partition("=")[0]):
            compose("serve", ["run=x", word])


def test_without_the_extra(shop_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ValueError, match=r"pip install 'grap-seq\[serve\]'"):
        commands.serve([f"run={shop_run}"])


def test_an_address_that_is_taken(shop_run: Path, client: Client) -> None:
    with pytest.raises(OSError, match=rf"127.0.0.1:{client.port}: .*; name another with host="):
        commands.serve([f"run={shop_run}", f"port={client.port}"])
