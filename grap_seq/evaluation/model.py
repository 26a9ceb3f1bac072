"""A trained model outside training: stored without pickle, applied to raw events."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import (
    CHUNK_ROWS,
    UNTRAINED,
    embedding_file,
    embedding_tables,
    label_tables,
)
from grap_seq.files import atomic_write, write_json
from grap_seq.nn.build import allow, build_model
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.prep.state import check_codes
from grap_seq.schema import SPLITS, Schema
from grap_seq.terminal import progress


def save(model: SequenceModel, description: dict[str, Any], run: Path, prepared: Path) -> None:
    """Write model.safetensors and model.json, with the schema and vocabularies, into a run."""
    for name in ("schema.yaml", "vocab.json"):
        shutil.copyfile(prepared / name, run / name)
    with atomic_write(run / "model.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary)
    write_json(run / "model.json", description)


def load(run: str | Path, allow_classes: Iterable[str] = ()) -> EmbeddingModel:
    """The embedding model of a run folder.

    Args:
        run: a folder written by `grap-seq pretrain`. It is data: no code of its own is run.
        allow_classes: dotted paths of encoders of your own that the run may name; they stay allowed
            in this process.

    Raises:
        FileNotFoundError: the folder holds no finished run.
        ValueError: another version made it, or it names a class that is not allowed.
    """
    allow(*allow_classes)
    folder = Path(run)
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"{folder} holds no finished run (no model.safetensors); make it with"
            " `grap-seq pretrain run=...`, or continue an interrupted one with resume=true"
        )
    return EmbeddingModel(folder)


class EmbeddingModel:
    """Raw events in, one embedding per sequence out.

    Attributes:
        model: the PyTorch module.
        schema: the data it reads.
        description: how it was built, from model.json.
        eval_length: last events of a sequence that are used; the run's, unless set anew.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.schema = Schema.load(run)
        self.description: dict[str, Any] = json.loads((run / "model.json").read_text("utf-8"))
        self.model = build_model(self.schema, self.description)
        try:
            self.model.load_state_dict(load_file(run / "model.safetensors"))
        except RuntimeError as error:
            raise ValueError(
                f"{run} was trained by another version of grap_seq, whose models have other"
                " parameters; train it again, or install that version"
            ) from error
        self.model.eval()
        self.eval_length = int(self.description["eval_length"])

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
        """
        from grap_seq.prep.transform import encode

        rows = encode(events, self.run, until)
        sequences = Sequences.from_table(self.schema, rows)
        tables = embedding_tables(self.model, sequences, self.eval_length, batch_events)
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame.drop(columns="label").set_index(self.schema.id)

    def embed_folder(
        self, prepared: Path, batch_events: int = 20_000, output: Path | None = None
    ) -> Path:
        """Embeddings of a prepared folder to {train,val,test}.parquet in a folder, streamed.

        Where sequences have several labels, its folder `labels` has files with a row a label: the
        embedding of the events that it may be predicted from.

        The run's own folder gets `untrained` beside them where the data have a label: embeddings by
        the same architecture with the fresh parameters of the run's seed, the control of an
        evaluation. What an untrained encoder gives for nothing is no merit of training.

        Args:
            prepared: the folder that the run was trained on, or one prepared with `like`.
            batch_events: events in a batch.
            output: by default run/embeddings.

        Raises:
            ValueError: the folder has other fields or codes than the run.
        """
        check_codes(prepared, self.run)
        own = self.run / "embeddings"
        models = {own if output is None else output: self.model}
        if output is None and self.schema.labels:
            models[own / UNTRAINED] = self._untrained()
        for folder, model in models.items():
            for split in SPLITS:
                sequences = Sequences(prepared, split)
                options = model, sequences, self.eval_length, batch_events
                tables, rows = embedding_tables(*options), len(sequences)
                self._write(tables, rows, embedding_file(folder, split))
                labels = 0 if sequences.local is None else len(sequences.examples())
                tables, target = label_tables(*options), embedding_file(folder, split, labels=True)
                self._write(tables, labels, target)
        return next(iter(models))

    def _untrained(self) -> SequenceModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.description.get("seed", 0))
            return build_model(self.schema, self.description).eval()

    def _write(self, tables: Iterator[pa.Table], rows: int, target: Path) -> None:
        metadata = {
            "parts": json.dumps(self.model.parts),
            "eval_length": str(self.eval_length),
        }
        if not rows:
            # One of other data would stay beside the new ones.
            target.unlink(missing_ok=True)
            return
        chunks, text = -(-rows // CHUNK_ROWS), f"{target.parent.name} {target.stem}"
        writer: pq.ParquetWriter | None = None
        with atomic_write(target) as temporary, progress() as shown:
            for table in shown.track(tables, chunks, description=text):
                table = table.replace_schema_metadata(metadata)
                writer = writer or pq.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
            assert writer is not None
            writer.close()


def set_threads(threads: int | None) -> None:
    """Use this many CPU threads; None leaves PyTorch's choice."""
    if threads is not None:
        torch.set_num_threads(threads)
