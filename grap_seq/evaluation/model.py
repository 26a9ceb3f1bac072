"""A trained model outside training: stored without pickle, applied to raw events."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from grap_seq import seal
from grap_seq.data.sequences import Sequences
from grap_seq.device import device_of
from grap_seq.evaluation.embed import (
    chunks,
    embed_rows,
)
from grap_seq.evaluation.origin import REMEDY
from grap_seq.evaluation.parameters import fill, read
from grap_seq.evaluation.predictor import Predictor, predictor_of
from grap_seq.evaluation.save import WEIGHTS
from grap_seq.evaluation.usual import stored
from grap_seq.nn.build import build_model
from grap_seq.prep.describe.spec import NEWEST
from grap_seq.prep.drift import Drift, DriftWarning
from grap_seq.prep.shares import Counter
from grap_seq.schema import Label, Schema

if TYPE_CHECKING:
    from grap_seq.evaluation.states import States
    from grap_seq.prep.coder import Coder
    from grap_seq.prep.folder.state import State


class EmbeddingModel:
    """Raw events in, one embedding per sequence out.

    Attributes:
        model: the PyTorch module.
        schema: the data it reads.
        description: how it was built, from model.json.
        eval_length: last events of a sequence that are used; the run's, unless set anew.
        drift: of the events that were embedded last, see `grap_seq.prep.drift.Drift`; None: there
            were none yet.
        device: where the module works.
    """

    def __init__(self, run: Path, device: torch.device | None = None) -> None:
        self.run, self.device = run, device or torch.device("cpu")
        about = seal.check(run, "model.json", REMEDY).read_text("utf-8")
        self.description: dict[str, Any] = json.loads(about)
        if "backbone" in self.description:
            raise ValueError(f"{run} is a run of images: open it with grap_seq.vision.load")
        for name in ("schema.yaml", "vocab.json"):
            seal.check(run, name, REMEDY)
        self.schema = Schema.load(run)
        tensors = read(run, WEIGHTS, self.description["weights"])
        self.model = build_model(self.schema, self.description)
        fill(self.model, tensors, run)
        self.model.eval().to(self.device)
        self.eval_length = int(self.description["eval_length"])
        self.drift: Drift | None = None
        # By label and eval_length.
        self._predictors: dict[tuple[str | None, int], Predictor] = {}

    def to(self, device: str | torch.device) -> EmbeddingModel:
        """Move to a device, by the names of `load`.

        Raises:
            ValueError: there is no such device.
        """
        self.device = device_of(device)
        self.model.to(self.device)
        return self

    def warm(self) -> None:
        """Make what the first `embed` would: the coder's questions, and a first pass."""
        from grap_seq.prep.example import example

        spec = self.coder.state.spec
        newest = None if spec.until is None or spec.until_column is not None else NEWEST
        self.embed(example(self.coder.state).to_pandas(), until=newest)
        self.drift = None

    def embed(
        self, events: Any, batch_events: int = 20_000, until: str | float | date | None = None
    ) -> pd.DataFrame:
        """Embeddings of new sequences, through the stored vocabulary and scalers.

        Args:
            events: a table of events (pandas, polars or pyarrow, a list of records with an array a
                field, or the path of a parquet or CSV file) with the columns of the dataset's
                description, in any row order.
            batch_events: events in a batch.
            until: up to when these events were observed, where the dataset's description has an
                `until`: a date, a number where times are numbers, the name of a column of theirs,
                or "newest". None: what the description says, for new data mostly too early a date.

        Returns:
            One row for each id, indexed by id in ascending order, columns emb_0000, ...

        Raises:
            ValueError: missing columns, null ids or times, no rows, or events after `until`.

        Warns:
            DriftWarning: rare, missing or clipped values are more or fewer than in training; the
                shares of all are in `drift`.
        """
        sequences, vectors = self._embedded(events, batch_events, until)
        return self._frame(sequences, vectors, self._names)

    def label(self, name: str | None = None) -> Label:
        """What `predict_proba` or `predict` predicts: a label by its name, or the usual one.

        Raises:
            FileNotFoundError, ValueError: as of `predict_proba`.
        """
        return self._predictor(name).label

    def predict_proba(
        self,
        events: Any,
        label: str | None = None,
        batch_events: int = 20_000,
        until: str | float | date | None = None,
    ) -> pd.DataFrame:
        """Probabilities of the classes of a label, of new sequences.

        By the head of a run that the label has trained, else by the classifiers that
        `grap-seq evaluate store=true` has left in the run. Of sequences that these were fitted on
        they are surer than they should be.

        Args:
            events: as of `embed`, like what follows.
            label: which of several labels; None: that of the head, else the first.
            batch_events: events in a batch.
            until: up to when these events were observed.

        Returns:
            One row for each id, as of `embed`; a column a class, by its name.

        Raises:
            FileNotFoundError: nothing in the run predicts the label.
            ValueError: no such label, or one that is a number; and as `embed`.
        """
        predictor = self._predictor(label)
        if not predictor.label.classes:
            raise ValueError(f"label '{predictor.label.name}' is a number: use model.predict")
        sequences, vectors = self._embedded(events, batch_events, until)
        return self._frame(sequences, predictor(vectors), pd.Index(predictor.label.classes))

    def predict(
        self,
        events: Any,
        label: str | None = None,
        batch_events: int = 20_000,
        until: str | float | date | None = None,
    ) -> pd.DataFrame:
        """A label that is a number, of new sequences; otherwise as `predict_proba`.

        Returns:
            One row for each id, as of `embed`; one column, the label's name.
        """
        predictor = self._predictor(label)
        named = predictor.label
        if named.classes:
            raise ValueError(f"label '{named.name}' has classes: use model.predict_proba")
        sequences, vectors = self._embedded(events, batch_events, until)
        values = named.mean + named.std * predictor(vectors)
        return self._frame(sequences, values, pd.Index([named.name]))

    def explain(
        self,
        events: Any,
        label: str | None = None,
        of: str | None = None,
        last: int = 100,
        batch_events: int = 20_000,
        until: str | float | date | None = None,
    ) -> pd.DataFrame:
        """How much each event has moved the score of its sequence, or else the embedding.

        Each event is left out in turn and the sequence scored again, as if its row were missing
        from the table: the event behind it gets the longer gap, and where a history is longer than
        `eval_length` an older event moves up. What two events say alike, neither seems to move.
        `until` stays what it is with all events, "newest" too.

        It costs as much as embedding every sequence once more for each event that is explained: a
        hundred times as much as `embed` for histories of a hundred events.

        Args:
            events: as of `embed`.
            label: as of `predict_proba`. None, where nothing predicts a label: the embedding.
            of: the class whose probability is explained; None: of two classes the second, of more
                the most probable one of each sequence.
            last: how many of the last events of each sequence are explained, at most `eval_length`.
            batch_events: events in a batch.
            until: as of `embed`.

        Returns:
            A row an event, by id and time: the id, the time, the fields as they were read; then
            `class` (where the label has some), `score` with all events, and `change`, the score
            minus that without the event. Without a label `distance`, how far the embedding moves
            (Euclidean). NaN for the only event of a sequence. A field of one of these names gets
            " of the event" behind it.

        Raises:
            FileNotFoundError: nothing in the run predicts `label`.
            ValueError: no such label or class, `last` below 1; and as `embed`.
        """
        from grap_seq.evaluation.explain import explain

        return explain(self, events, label, of, last, batch_events, until)

    def start(
        self,
        events: Any,
        batch_events: int = 20_000,
        until: str | float | date | None = None,
    ) -> States:
        """States and embeddings of whole histories, which `update` goes on with.

        Args:
            events: as of `embed`, like what follows.
            batch_events: events in a batch.
            until: up to when these events were observed.

        Raises:
            ValueError: the encoder is no GRU, times are relative, or a history is longer than
                `eval_length`; and as `embed`.
        """
        from grap_seq.evaluation.update import update

        return update(self, None, events, batch_events, until)

    def update(
        self,
        states: States,
        new_events: Any,
        batch_events: int = 20_000,
        until: str | float | date | None = None,
    ) -> States:
        """States after new events, which are all that is read.

        Embeddings are those that `embed` makes of the whole histories, to 1e-5. The first new event
        gets its gap since the last one of the state. Sequences without new events keep their
        embedding, also where it says how long ago their last event was (`until`).

        Args:
            states: of this model, by `start`, `update` or `States.load`; they stay as they are.
            new_events: as of `embed`; sequences that the states do not know start with them.
            batch_events: events in a batch.
            until: up to when the new events were observed.

        Raises:
            TypeError: `states` are none.
            ValueError: as of `start`; states of another model; new events that are not later than
                the last one of their state, or have another value of a static field.
        """
        from grap_seq.evaluation.update import update

        return update(self, states, new_events, batch_events, until)

    def push_to_hub(self, name: str, *, private: bool = True, license: str | None = None) -> str:
        """Publish the model in a repository of the Hugging Face hub, with a card.

        What travels: the model's parameters and description, the schema, the vocabulary, a head or
        stored classifiers, scores. The vocabulary holds the names of all categories that training
        saw, which may be personal data; a repository is made private unless you say otherwise. One
        that exists keeps its visibility. Files of an earlier push are replaced, the card too.

        Args:
            name: "owner/name".
            private: whether a new repository is for its owner alone.
            license: an identifier of the hub such as apache-2.0; None: the card says that none has
                been chosen.

        Returns:
            Address of the commit.

        Raises:
            PermissionError: you may not write there.
            ConnectionError: the hub cannot be reached.
            ValueError: no such name, or a file of the run is damaged.
        """
        from grap_seq.hub.push import push

        return push(self, name, private=private, licence=license)

    def _embedded(
        self, events: Any, batch_events: int, until: str | float | date | None
    ) -> tuple[Sequences, NDArray[np.float32]]:
        """New sequences, coded, and their embeddings (rows, E)."""
        rows = self.coder.encode(events, until)
        self.drift = self.drift_of(rows.to_batches())
        where = str(events) if isinstance(events, str | Path) else "events"
        for sentence in self.drift.sentences():
            warnings.warn(f"{where}: {sentence}", DriftWarning, stacklevel=3)
        sequences = Sequences.from_table(self.schema, rows)
        # In the chunks of a stored file, so that its embeddings are the same bit by bit.
        parts = [
            embed_rows(self.model, sequences, rows, self.eval_length, batch_events)
            for rows in np.split(np.arange(len(sequences)), chunks(len(sequences))[1:])
        ]
        return sequences, np.concatenate(parts)

    def drift_of(self, rows: Iterable[pa.RecordBatch]) -> Drift:
        """How coded sequences, as in a prepared folder, differ from those of training."""
        state = self.coder.state
        return Drift(self._counter.count(rows), stored(self.description), state)

    def _predictor(self, label: str | None) -> Predictor:
        wanted = label, self.eval_length
        if wanted not in self._predictors:
            self._predictors[wanted] = predictor_of(self, label)
        return self._predictors[wanted]

    @cached_property
    def coder(self) -> Coder:
        """What codes events for the model; a copy of the model in another process has it too."""
        from grap_seq.prep.coder import Coder

        return Coder(self.vocabulary())

    @cached_property
    def _counter(self) -> Counter:
        return Counter(self.coder.state)

    @cached_property
    def _names(self) -> pd.Index[str]:
        return pd.Index([f"emb_{i:04d}" for i in range(self.model.embedding_size)])

    def _frame(
        self, sequences: Sequences, values: NDArray[Any], names: pd.Index[str]
    ) -> pd.DataFrame:
        """Values (rows, columns) of all sequences by their ids."""
        ids = sequences.ids(0, len(sequences)).to_pandas()
        return pd.DataFrame(values, pd.Index(ids, name=self.schema.id), names)

    def vocabulary(self) -> State:
        """What codes events for the model, which model.json knows by its hash.

        Raises:
            ValueError: vocab.json is another one, or damaged.
        """
        from grap_seq.prep.folder.state import State

        state = State.load(self.run)
        if state.codes != self.description["codes"]:
            raise ValueError(f"{self.run}/vocab.json is not the one of the model; {REMEDY}")
        return state
