"""What a request may ask, as pydantic models made from the description of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from grap_seq.names import nearest
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.serving.columns import Column, Number, Text

STRICT = ConfigDict(extra="forbid")


class Question(NamedTuple):
    """Events and what is wanted of them.

    Attributes:
        events: a value for each column, by name.
        until: as of `EmbeddingModel.embed`.
        label: to be predicted; None: embeddings are asked for.
    """

    events: list[dict[str, Any]]
    until: str | float | None = None
    label: str | None = None


class Form:
    """The body of requests to one address.

    Args:
        columns: of the events.
        spec: description of the data.
        labels: that can be asked for, the usual one first.
    """

    def __init__(
        self, columns: Mapping[str, Column], spec: DatasetSpec, labels: Sequence[str] = ()
    ) -> None:
        self.columns, self._label = columns, labels[0] if labels else None
        # By number: a column may be called anything.
        fields: Any = {
            f"field_{number}": (column.kind, Field(alias=name, description=column.says))
            for number, (name, column) in enumerate(columns.items())
        }
        self._names = {f"field_{number}": name for number, name in enumerate(columns)}
        event = create_model("Event", __config__=STRICT, **fields)
        body: Any = {"events": (Annotated[list[event], Field(min_length=1)], ...)}  # type: ignore[valid-type]  # Made above.
        if spec.until is not None:
            body["until"] = Text | Number | None, None
        if labels:
            body["label"] = Literal[tuple(labels)] | None, None
        self._model: type[BaseModel] = create_model("Question", __config__=STRICT, **body)
        self._event = event

    def schema(self) -> dict[str, Any]:
        """JSON schema without references, which would be looked for in the whole document."""
        schema = self._model.model_json_schema()
        schema.pop("$defs")
        schema["properties"]["events"]["items"] = self._event.model_json_schema()
        return schema

    def read(self, body: bytes) -> Question:
        """The question in a body.

        Raises:
            ValueError: it is none; a sentence that names the place.
        """
        try:
            found: Any = self._model.model_validate_json(body)
        except ValidationError as error:
            raise ValueError(self._sentence(error)) from error
        names = self._names.items()
        events = [{name: getattr(event, field) for field, name in names} for event in found.events]
        label = getattr(found, "label", None) or self._label
        return Question(events, getattr(found, "until", None), label)

    def _sentence(self, error: ValidationError) -> str:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place, kind = first["loc"], first["type"]
        if kind == "json_invalid":
            return f"the body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
        name = str(place[2]) if len(place) > 2 else str(place[0]) if place else ""
        known = list(self.columns) if len(place) > 2 else list(self._model.model_fields)
        where = "the body" if not place else name if len(place) < 2 else f"events[{place[1]}]"
        if kind == "missing":
            return f"{'the body' if len(place) == 1 else where} has no '{name}'"
        if kind == "extra_forbidden":
            within = "the body" if len(place) == 1 else where
            return f"{within} has '{name}', which is none of its fields: {nearest(name, known)}"
        if len(place) > 2:
            return f"{where}, '{name}': give {self.columns[name].says}"
        return f"{where}: {first['msg']}"
