"""One thread that embeds: all requests that wait meanwhile share the next pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread
from typing import Any, NamedTuple

import pandas as pd

from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.serving.columns import Column, table_of
from grap_seq.serving.metrics import Metrics
from grap_seq.serving.questions import Question

# Of a pass; a request with more has one of its own.
MAX_EVENTS = 20_000


class Busy(Exception):
    """As many requests wait as may."""


class Answer(NamedTuple):
    """Ids as they were asked for, and a row of values for each."""

    ids: list[str | int]
    names: list[str]
    values: list[list[float]]


class _Job(NamedTuple):
    question: Question
    answer: Future[Answer]


class Worker:
    """Answers questions in the order in which they come.

    Args:
        model: of the run.
        columns: of the events.
        metrics: are told of every pass.
        waiting: requests that may wait.
    """

    def __init__(
        self, model: EmbeddingModel, columns: Mapping[str, Column], metrics: Metrics, waiting: int
    ) -> None:
        self._model, self._columns, self._metrics = model, columns, metrics
        self._id = model.schema.id
        # None ends the thread.
        self._jobs: Queue[_Job | None] = Queue(waiting)
        self._thread = Thread(target=self._work, name="grap-seq-embed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then end."""
        self._jobs.put(None)
        self._thread.join()

    def ask(self, question: Question) -> Future[Answer]:
        """The answer to come; a ValueError in it says what is wrong with the question.

        Raises:
            Busy: too many wait already.
        """
        job = _Job(question, Future())
        try:
            self._jobs.put_nowait(job)
        except Full as error:
            raise Busy from error
        return job.answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs, ended = self._with_others(job)
            # Whoever has gone away is not waited for.
            jobs = [one for one in jobs if one.answer.set_running_or_notify_cancel()]
            for alike in _alike(jobs):
                self._answer(alike)
            if ended:
                break

    def _with_others(self, job: _Job) -> tuple[list[_Job], bool]:
        """The job and those that wait behind it, and whether the end is among them."""
        jobs, events = [job], len(job.question.events)
        while events < MAX_EVENTS:
            try:
                further = self._jobs.get_nowait()
            except Empty:
                break
            if further is None:
                return jobs, True
            jobs.append(further)
            events += len(further.question.events)
        return jobs, False

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            answers = self._pass([job.question for job in jobs])
        except ValueError as error:
            if len(jobs) > 1:
                # One of them is at fault; the others are not to know.
                for job in jobs:
                    self._answer([job])
            else:
                jobs[0].answer.set_exception(self._named(jobs[0].question, error))
        except Exception as error:
            for job in jobs:
                job.answer.set_exception(error)
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.answer.set_result(answer)

    def _pass(self, questions: list[Question]) -> list[Answer]:
        """All at once: ids of different requests are told apart by numbers."""
        events, ids, ends = [], [], []
        for question in questions:
            numbers: dict[str, int] = {}
            for event in question.events:
                key = event[self._id]
                if str(key) not in numbers:
                    numbers[str(key)] = len(ids)
                    ids.append(key)
                events.append({**event, self._id: numbers[str(key)]})
            ends.append(len(ids))
        frame = self._ask(questions[0], events)
        frame = frame.set_index(frame.index.astype("int64")).sort_index()
        assert self._model.drift is not None
        self._metrics.passed(len(questions), self._model.drift)
        values, names = frame.to_numpy().tolist(), [str(name) for name in frame.columns]
        starts = [0, *ends[:-1]]
        return [
            Answer(ids[start:end], names, values[start:end])
            for start, end in zip(starts, ends, strict=True)
        ]

    def _ask(self, question: Question, events: list[dict[str, Any]]) -> pd.DataFrame:
        table, model, label = table_of(self._columns, events), self._model, question.label
        if label is None:
            return model.embed(table, until=question.until)
        ask = model.predict_proba if model.label(label).classes else model.predict
        return ask(table, label, until=question.until)

    def _named(self, question: Question, error: ValueError) -> ValueError:
        """The same error with the ids of the request in its words."""
        try:
            self._ask(question, question.events)
        except ValueError as named:
            return named
        return error


def _alike(jobs: list[_Job]) -> Iterator[list[_Job]]:
    """Jobs that one pass can answer."""
    groups: dict[tuple[Any, ...], list[_Job]] = {}
    for job in jobs:
        groups.setdefault((job.question.until, job.question.label), []).append(job)
    yield from groups.values()
