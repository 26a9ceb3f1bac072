"""`grap-seq embed`: by this process, in shards, or on Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grap_seq.data.sequences import Sequences
from grap_seq.device import set_threads
from grap_seq.evaluation.embed_folder import embed_folder, join_shards
from grap_seq.evaluation.load import load
from grap_seq.evaluation.shards import Shard
from grap_seq.schema import SPLITS
from grap_seq.terminal import say


def embed_run(run: Path, prepared: Path, settings: Any) -> tuple[Path, bool]:
    """Embeddings of a prepared folder.

    Args:
        run: the run folder.
        prepared: the prepared folder.
        settings: what `grap_seq.config.compose("embed", ...)` returns.

    Returns:
        Where they are, and whether they are all of them: a shard is not.

    Raises:
        ValueError: settings of which one excludes the other; or as `embed_folder`.
        FileNotFoundError: a shard is missing; names it.
    """
    shards, number, events = settings.shards, settings.shard, settings.batch_events
    if settings.engine not in (None, "spark"):
        raise ValueError(f"engine={settings.engine}: embed works by itself, or by engine=spark")
    if number is not None and (settings.engine or shards == 1):
        raise ValueError(
            f"shard={number}: it is one of several, name their number with shards= (and leave out"
            " engine=, which makes them all)"
        )
    shard = None if number is None else Shard(number, shards)
    set_threads(settings.threads)
    # Spark's tasks are elsewhere: each looks for a device of its own.
    model = load(run, device="cpu" if settings.engine else settings.device, warm=False)
    if settings.eval_length is not None:
        model.eval_length = settings.eval_length
    output = None if settings.output is None else Path(settings.output)
    if shard is not None:
        return embed_folder(model, prepared, events, output, shard), False
    if settings.engine:
        from grap_seq.evaluation.on_spark import embed_on_spark

        shards = embed_on_spark(
            model,
            prepared,
            shards,
            batch_events=events,
            output=output,
            device=settings.device,
            threads=settings.threads,
            spark=dict(settings.spark),
        )
    if shards > 1:
        folder = join_shards(model, prepared, shards, events, output)
    else:
        folder = embed_folder(model, prepared, events, output)
    if settings.prepared is not None:
        # Other data than the model was trained on, or so it is meant.
        splits = (Sequences(prepared, split) for split in SPLITS)
        say(model.drift_of(batch for split in splits for batch in split.batches))
    return folder, True
