"""Requests that wait together share a pass, and nobody else's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grap_seq import load
from grap_seq.evaluation.model import EmbeddingModel
from tests.serving.conftest import Events

pytest.importorskip("prometheus_client", reason="needs the extra [serve]")

from grap_seq.serving.columns import columns_of
from grap_seq.serving.metrics import Metrics
from grap_seq.serving.questions import Question
from grap_seq.serving.worker import Busy, Worker


class Model(EmbeddingModel):
    """Refuses a certain amount, and keeps what it was asked."""

    def embed(self, events: Any, *given: Any, **options: Any) -> pd.DataFrame:
        tables.append(events)
        if 666.0 in events["amount"].to_pylist():
            raise ValueError(f"the customer {events['customer'].to_pylist()[0]} is at fault")
        return super().embed(events, *given, **options)


tables: list[pa.Table] = []


@pytest.fixture
def worker(shop_run: Path) -> Worker:
    model = Model(shop_run)
    tables.clear()
    return Worker(model, columns_of(model.coder.state), Metrics(), waiting=9)


def test_waiting_requests_share_a_pass(
    worker: Worker, shop_run: Path, events: Callable[[int, int], Events]
) -> None:
    answers = [worker.ask(Question(events(n, n + 1))) for n in range(8)]
    answers[3].cancel()
    worker.start()
    worker.stop()
    assert len(tables) == 1
    model = load(shop_run)
    for n, answer in enumerate(answers):
        if n == 3:
            continue
        assert answer.result().ids == [n, n + 1]
        expected = model.embed(pd.DataFrame(events(n, n + 1))).to_numpy()
        np.testing.assert_allclose(answer.result().values, expected, rtol=1e-4, atol=1e-5)


def test_only_who_is_at_fault_is_told(worker: Worker, events: Callable[[int, int], Events]) -> None:
    questions = [Question(events(n, n)) for n in range(4)]
    questions[2].events[0]["amount"] = 666.0
    answers = [worker.ask(question) for question in questions]
    worker.start()
    worker.stop()
    # By the id that the request gave, and not by its number in the pass.
    with pytest.raises(ValueError, match="the customer 2 is at fault"):
        answers[2].result()
    assert [answers[n].result().ids for n in (0, 1, 3)] == [[0], [1], [3]]


def test_more_than_may_wait(worker: Worker, events: Callable[[int, int], Events]) -> None:
    answers = [worker.ask(Question(events(0, 0))) for _ in range(9)]
    with pytest.raises(Busy):
        worker.ask(Question(events(0, 0)))
    worker.start()
    worker.stop()
    assert all(answer.done() for answer in answers)


def test_a_defect_is_told_to_all(
    worker: Worker, events: Callable[[int, int], Events], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Model, "embed", fail)
    answers = [worker.ask(Question(events(n, n))) for n in range(2)]
    worker.start()
    worker.stop()
    for answer in answers:
        with pytest.raises(RuntimeError, match="out of order"):
            answer.result()
