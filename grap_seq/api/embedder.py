"""Embeddings of event sequences as a step of a scikit-learn pipeline."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from grap_seq import __version__
from grap_seq.api.functions import prepare, pretrain
from grap_seq.api.results import Run
from grap_seq.api.tables import StrPath
from grap_seq.prep.read.tables import to_arrow

if TYPE_CHECKING:
    from sklearn.utils import Tags

ID, LABEL = "row", "label"


class EventEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pretrains an encoder on histories of events; transforms histories to embeddings.

    Histories are a table in one of two forms: a row an event, with a column `id`; or a row a
    history, with a list in the time and every other column (see `nest`). In the second form X and y
    have as many rows, as scikit-learn's splits, searches and pipelines need it, and there need be
    no id.

    >>> embedder = EventEmbedder(id="customer", time="bought", categorical=["shop"],
    ...     numerical=["amount"])                                       # doctest: +SKIP
    >>> pipeline = make_pipeline(embedder, LGBMClassifier())            # doctest: +SKIP
    >>> pipeline.fit(nest(purchases, "customer"), churned)              # doctest: +SKIP

    Args:
        id: column whose values tell histories apart; None, for a row a history: each is one.
        time: column of the moments: timestamps, dates, text, or numbers.
        time_unit: second, minute, hour, day or week: what a number in `time` counts, and the unit
            in which gaps are a few to a few hundred.
        time_format: of text and numbers that are dates, such as "%d.%m.%Y" or epoch_s.
        categorical: columns of codes.
        numerical: columns of numbers, or options by column such as {"amount": {"log": True}}.
        description: further keys of a table's description, such as {"calendar": ["hour"]}.
        encoder: gru, transformer or ht_transformer, or a dict with `name` and its settings.
        weighting: of the losses; None: GraP, and equal weights without y.
        epochs: of training; "auto": as many as `min_steps` takes.
        min_steps: optimiser steps of epochs="auto".
        settings: further settings of `grap_seq.pretrain`, by dotted name or nested.
        validation: share of the histories on which the epoch is chosen.
        seed: of the split and of training.
        cache: folder in which runs are kept, so that the same data, labels and settings train once;
            None: a temporary one, which goes with this object.
        device: where `transform` works: auto, cpu, cuda, cuda:1.
        verbose: whether training says how it goes.

    Attributes:
        run_: the `Run` of the encoder.
        feature_names_in_: columns of X.
    """

    def __init__(
        self,
        *,
        id: str | None = "id",
        time: str = "time",
        time_unit: str = "day",
        time_format: str | None = None,
        categorical: Sequence[str] = (),
        numerical: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
        description: Mapping[str, Any] | None = None,
        encoder: str | Mapping[str, Any] = "gru",
        weighting: str | Mapping[str, Any] | None = None,
        epochs: int | str = "auto",
        min_steps: int = 3000,
        settings: Mapping[str, Any] | None = None,
        validation: float = 0.15,
        seed: int = 0,
        cache: StrPath | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.id, self.time, self.time_unit, self.time_format = id, time, time_unit, time_format
        self.categorical, self.numerical, self.description = categorical, numerical, description
        self.encoder, self.weighting, self.settings = encoder, weighting, settings
        self.epochs, self.min_steps, self.validation = epochs, min_steps, validation
        self.seed, self.cache, self.device, self.verbose = seed, cache, device, verbose

    def fit(self, X: Any, y: Any = None) -> EventEmbedder:
        """Prepare the events and pretrain an encoder on them.

        Args:
            X: events or histories.
            y: a label for each row of histories; of events, a Series by id. Numbers with fractions
                are a number to be predicted, all else is classes. None: none.

        Raises:
            ValueError: columns that are not there, or y that does not belong to X.
        """
        events, ids = self._events(X)
        described = self._description()
        labels = None
        if y is not None:
            labels = pd.DataFrame(
                {described["id"]: ids, LABEL: self._labels(y, ids, nested=self._nested(X))}
            )
            number = type_of_target(labels[LABEL].dropna().to_numpy()).startswith("continuous")
            described |= {"label": LABEL, **({"metric": "r2"} if number else {})}
        training = self._training()
        folder = self._folder([events, labels, described, training])
        with nullcontext() if self.verbose else redirect_stdout(io.StringIO()):
            prepared, run = folder / "prepared", folder / "run"
            if not (prepared / "manifest.json").is_file():
                prepare(events, prepared, labels=labels, **described)
            if not (run / "model.safetensors").is_file():
                pretrain(prepared, run=run, resume=True, **training)
        self.run_ = Run(run)
        self.feature_names_in_ = np.array(list(X.columns), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Embeddings.

        Args:
            X: events or histories, new ones or those of `fit`.

        Returns:
            Of histories a row for each, in their order and with their index; of events a row for
            each id, in ascending order, with the ids as index. Columns emb_0000, ...

        Raises:
            ValueError: columns that are not there, or a cell that cannot be read.
        """
        check_is_fitted(self)
        events, ids = self._events(X)
        embedded = self.run_.model.to(self.device).embed(events)
        if self._nested(X):
            embedded = embedded.loc[ids].set_axis(X.index)
        return embedded

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the columns of the embeddings."""
        del input_features
        check_is_fitted(self)
        width = self.run_.model.model.embedding_size
        return np.array([f"emb_{place:04d}" for place in range(width)], dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        # Whoever reads it later finds the run in `cache`; a temporary one goes with this process.
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "temporary_"}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        return tags

    def _nested(self, X: pd.DataFrame) -> bool:
        first = X[self.time].iloc[0] if len(X) else None
        return isinstance(first, list | tuple | np.ndarray)

    def _events(self, X: Any) -> tuple[pa.Table, Any]:
        """The table that is prepared, and its ids: of histories in their order."""
        if not isinstance(X, pd.DataFrame):
            X = to_arrow(X).to_pandas()
        if self.time not in X.columns:
            raise ValueError(
                f"time={self.time!r}: there is no such column; there are"
                f" {', '.join(map(str, X.columns))}"
            )
        if self._nested(X) and self.id is None:
            X = X.assign(**{ID: np.arange(len(X))})
        key = self._description()["id"]
        if key not in X.columns:
            raise ValueError(f"id={self.id!r}: name the column whose values tell histories apart")
        if self._nested(X) and X[key].duplicated().any():
            raise ValueError(f"id={key!r}: several rows have the same; give id=None if each is one")
        return to_arrow(X), X[key].to_numpy() if self._nested(X) else np.sort(X[key].unique())

    def _labels(self, y: Any, ids: Any, *, nested: bool) -> Any:
        """A label for each id.

        Raises:
            ValueError: another number of them, or none that belongs to an id.
        """
        if nested and len(y) == len(ids):
            return np.asarray(y)
        if nested or not isinstance(y, pd.Series) or not y.index.isin(ids).any():
            raise ValueError(
                f"y has {len(y)} labels, X {len(ids)} histories: give a Series whose index is the"
                " id, or a row a history (grap_seq.nest) and a label for each"
            )
        return y.reindex(ids).to_numpy()

    def _description(self) -> dict[str, Any]:
        fields = self.numerical
        numerical = dict(fields) if isinstance(fields, Mapping) else list(fields)
        given: dict[str, Any] = {
            "id": ID if self.id is None else self.id,
            "time": self.time,
            "time_unit": self.time_unit,
            "categorical": list(self.categorical),
            "numerical": numerical,
            "split": {"validation": self.validation, "test": 0.0, "seed": self.seed},
        }
        if self.time_format is not None:
            given["time_format"] = self.time_format
        return given | dict(self.description or {})

    def _training(self) -> dict[str, Any]:
        given: dict[str, Any] = {
            "encoder": self.encoder,
            "epochs": self.epochs,
            "min_steps": self.min_steps,
            "seed": self.seed,
        }
        if self.weighting is not None:
            given["weighting"] = self.weighting
        return given | dict(self.settings or {})

    def _folder(self, content: list[Any]) -> Path:
        if self.cache is None:
            self.temporary_ = tempfile.TemporaryDirectory(prefix="grap_seq-")
            return Path(self.temporary_.name)
        digest = hashlib.sha256(__version__.encode())
        for part in content:
            if isinstance(part, pa.Table | pd.DataFrame):
                sink = pa.BufferOutputStream()
                table = to_arrow(part)
                with pa.ipc.new_stream(sink, table.schema) as stream:
                    stream.write_table(table)
                digest.update(sink.getvalue())
            else:
                digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        return Path(self.cache) / digest.hexdigest()[:16]


def nest(events: Any, id: str) -> pd.DataFrame:
    """A row a history, with a list in every column but the id, out of a row an event.

    Args:
        events: a pandas, polars or pyarrow table.
        id: column whose values tell histories apart.

    Returns:
        Indexed by position, histories in the order of their first events, and events in theirs.
    """
    table = to_arrow(events)
    columns = [name for name in table.column_names if name != id]
    grouped = pa.TableGroupBy(table, id, use_threads=False).aggregate(
        [(name, "list") for name in columns]
    )
    named = {f"{name}_list": name for name in columns}
    frame: pd.DataFrame = grouped.to_pandas().rename(columns=named)
    return frame[[id, *columns]]
