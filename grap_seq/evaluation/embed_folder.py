"""Embeddings of a whole prepared folder as files, by one process or in shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.embed import (
    UNTRAINED,
    chunks,
    embedding_file,
    embedding_tables,
    label_tables,
)
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.origin import Origin
from grap_seq.evaluation.output import Output
from grap_seq.evaluation.shards import FACTS, WHOLE, Shard, join
from grap_seq.nn.build import build_model
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.prep.folder.verify import verify
from grap_seq.schema import SPLITS


def embed_folder(
    model: EmbeddingModel,
    prepared: Path,
    batch_events: int = 20_000,
    output: Path | None = None,
    shard: Shard = WHOLE,
) -> Path:
    """Embeddings of a prepared folder to {train,val,test}.parquet in a folder, streamed.

    Where sequences have several labels, its folder `labels` has files with a row a label: the
    embedding of the events that it may be predicted from.

    The run's own folder gets `untrained` beside them where the data have a label: embeddings by
    the same architecture with the fresh parameters of the run's seed, the control of an
    evaluation. What an untrained encoder gives for nothing is no merit of training.

    Args:
        model: of the run.
        prepared: the folder that the run was trained on, or one prepared with `like`.
        batch_events: events in a batch.
        output: by default run/embeddings.
        shard: the part that is made, in a folder of its own below, which is returned;
            `join_shards` makes the files above out of all of them.

    Raises:
        ValueError: the folder has other fields or codes than the run, or a damaged file; or a
            sequence's embedding is not finite.
        FileExistsError: another process is at work in one of the folders, or `output` has
            files of these names that are not ours.
    """
    from grap_seq.prep.folder.state import check_codes

    whole, names = _target(model, output)
    target = whole
    if shard.of > 1:
        target = Output(model.run, shard.folder(whole.folder), alone=True)
    modules = {"": model.model}
    if output is None and model.schema.labels:
        modules[f"{UNTRAINED}/"] = _untrained(model)
    with target.held([*names, FACTS]):
        target.remove(FACTS)
        data = verify(prepared).data
        model.vocabulary()
        check_codes(prepared, model.run)
        metadata = _metadata(model, data)
        for prefix, module in modules.items():
            for split in SPLITS:
                sequences = Sequences(prepared, split)
                labels = 0 if sequences.local is None else len(sequences.examples())
                kinds = (embedding_tables, len(sequences)), (label_tables, labels)
                for of_labels, (tables, rows) in enumerate(kinds):
                    name = prefix + embedding_file(split, labels=bool(of_labels))
                    count = len(shard.part(chunks(rows)))
                    made = tables(module, sequences, model.eval_length, batch_events, shard)
                    target.write_tables(name, made, count, metadata)
        if shard.of > 1:
            files = [name for name in names if (target.folder / name).is_file()]
            facts = _facts(model, data, batch_events)
            target.write_json(FACTS, {**facts, "files": files})
    return target.folder


def join_shards(
    model: EmbeddingModel,
    prepared: Path,
    shards: int,
    batch_events: int = 20_000,
    output: Path | None = None,
) -> Path:
    """Make what `embed_folder` makes out of all its shards, which are removed then.

    Args:
        model: of the run.
        prepared: as of the shards, like what follows.
        shards: number of shards.
        batch_events: events in a batch.
        output: by default run/embeddings.

    Raises:
        FileNotFoundError: shards are missing; names the first one.
        ValueError: one is damaged, or made otherwise or of other data.
    """
    target, names = _target(model, output)
    command = f"grap-seq embed run={model.run} shards={shards}"
    with target.held(names):
        facts = _facts(model, verify(prepared).data, batch_events)
        join(target, names, shards, facts, command)
    return target.folder


def _target(model: EmbeddingModel, output: Path | None) -> tuple[Output, list[str]]:
    """Where embeddings go, and the names of all files that there may be."""
    prefixes = [""]
    if output is None and model.schema.labels:
        prefixes.append(f"{UNTRAINED}/")
    names = [
        f"{prefix}{embedding_file(split, labels=labels)}"
        for prefix in prefixes
        for split in SPLITS
        for labels in (False, True)
    ]
    return Output(model.run, model.run / "embeddings" if output is None else output), names


def _facts(model: EmbeddingModel, data: str, batch_events: int) -> dict[str, Any]:
    """What all shards have to share."""
    origin = Origin(model.description["weights"], data).to_dict()
    return {**origin, "eval_length": model.eval_length, "batch_events": batch_events}


def _untrained(model: EmbeddingModel) -> SequenceModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.description.get("seed", 0))
        # Fresh parameters are the CPU's random numbers, wherever they go.
        return build_model(model.schema, model.description).eval().to(model.device)


def _metadata(model: EmbeddingModel, data: str) -> dict[str, str]:
    """What a file of embeddings says about itself."""
    return {
        "parts": json.dumps(model.model.parts),
        "eval_length": str(model.eval_length),
        **Origin(model.description["weights"], data).to_dict(),
    }
