"""The addresses of the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from grap_seq import __version__
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.serving.columns import columns_of
from grap_seq.serving.metrics import Metrics
from grap_seq.serving.questions import Form
from grap_seq.serving.worker import Answer, Busy, Worker

MEGABYTE = 1_000_000


class Embeddings(BaseModel):
    """A row of `embeddings` for each id, in the order in which ids came first."""

    ids: list[str | int]
    embeddings: list[list[float]]


class Predictions(BaseModel):
    """A row of `values` for each id, a column for each of `names`: classes, or the label itself."""

    ids: list[str | int]
    names: list[str]
    values: list[list[float]]


class Health(BaseModel):
    """That the service is there, and of what."""

    status: str
    version: str
    data: str
    outputs: int


class Problem(BaseModel):
    """What is wrong, in a sentence."""

    error: str


class TooLarge(Exception):
    """A body with more bytes than are read."""


def build(model: EmbeddingModel, *, megabytes: float, waiting: int) -> FastAPI:
    """The application of a loaded model.

    Args:
        model: of the run.
        megabytes: largest body that is read, in millions of bytes.
        waiting: requests that may wait.
    """
    state, metrics = model.coder.state, Metrics()
    columns = columns_of(state)
    worker = Worker(model, columns, metrics, waiting)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()

    app = FastAPI(title=f"grap_seq: {state.spec.name}", version=__version__, lifespan=life)

    @app.middleware("http")
    async def timed(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        start = time.perf_counter()
        response = await answer(request)
        route = request.scope.get("route")
        path = "none" if route is None else route.path
        metrics.seconds.labels(path, response.status_code).observe(time.perf_counter() - start)
        return response

    async def asked(request: Request, form: Form, shown: Callable[[Answer], Any]) -> Response:
        try:
            body = await _body(request, int(megabytes * MEGABYTE))
            answer = await asyncio.wrap_future(worker.ask(form.read(body)))
        except TooLarge:
            sentence = f"the body has more than {megabytes:g} MB; send fewer events"
            # What is still to come would be read to find the next request behind it.
            return _problem(413, sentence, {"connection": "close"})
        except Busy:
            return _problem(503, f"{waiting} requests are waiting; try again later")
        except ValueError as error:
            return _problem(422, str(error))
        return JSONResponse(shown(answer))

    @app.get("/healthz", summary="Whether it is there")
    async def healthz() -> Health:
        outputs = model.model.embedding_size
        return Health(status="ok", version=__version__, data=state.spec.name, outputs=outputs)

    @app.get("/metrics", summary="For Prometheus", response_class=Response)
    async def text() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    embeds = Form(columns, state.spec)

    @app.post("/embed", summary="Embeddings of events' sequences", **_described(embeds, Embeddings))
    async def embed(request: Request) -> Response:
        return await asked(
            request, embeds, lambda found: {"ids": found.ids, "embeddings": found.values}
        )

    labels = _predictable(model)
    if labels:
        predicts = Form(columns, state.spec, labels)

        @app.post(
            "/predict", summary="A label of events' sequences", **_described(predicts, Predictions)
        )
        async def predict(request: Request) -> Response:
            return await asked(request, predicts, lambda found: found._asdict())

    return app


async def _body(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        TooLarge: it is, or says so; the rest is not read.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)


def _problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)


def _described(form: Form, answer: type[BaseModel]) -> dict[str, Any]:
    """Of an address that reads the body itself, for its page."""
    content = {"application/json": {"schema": form.schema()}}
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "response_model": answer,
        "responses": {status: {"model": Problem} for status in (413, 422, 503)},
    }


def _predictable(model: EmbeddingModel) -> list[str]:
    """Labels for which the run has something that predicts them, the usual one first."""
    try:
        first = model.label().name
    except (FileNotFoundError, ValueError):
        return []
    found = [first]
    for label in model.schema.labels:
        try:
            model.label(label.name)
        except (FileNotFoundError, ValueError):
            continue
        found.append(label.name)
    return list(dict.fromkeys(found))
