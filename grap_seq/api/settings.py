"""Names and types of the commands' settings, so that an editor can complete and check them.

Ranges and defaults are those of the commands (`grap-seq COMMAND --help`), which check them. A group
such as `encoder` takes the name of a choice, or a dict of its settings, in which `name` may be the
choice: `encoder={"name": "transformer", "hidden": 64}`. Settings of a group may also be given by
dotted name: `**{"trainer.threads": 1}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, TypeAlias, TypedDict

from grap_seq.api.tables import StrPath

Group: TypeAlias = str | Mapping[str, Any]
Auto: TypeAlias = Literal["auto"]


class Description(TypedDict, total=False):
    """Keys of a table's description (data_prep/table/README.md), but for the labels' file."""

    name: str
    id: str
    time: str
    time_format: str
    time_unit: Literal["second", "minute", "hour", "day", "week"]
    na_values: Sequence[str | float]
    decimal: Literal[".", ","]
    relative_time: bool
    unique: bool
    tie_order: Sequence[str]
    categorical: Sequence[str]
    calendar: Sequence[Literal["hour", "weekday", "month"]]
    numerical: Sequence[str] | Mapping[str, Mapping[str, Any]]
    label: str | Sequence[str] | None
    label_time: str
    after_label: Literal["error", "drop"]
    local_labels: bool
    static: Mapping[str, Any]
    metric: str | Mapping[str, str]
    split: Mapping[str, float]


class Prepare(Description, total=False):
    """Settings of `prepare`, and keys of a description."""

    dataset: Group
    like: StrPath | None
    until: str | float | date | None
    engine: Literal["duckdb", "spark"]
    spark: Mapping[str, Any]
    memory_limit: str
    threads: int | None
    strict: bool
    overwrite: bool


class Training(TypedDict, total=False):
    """Settings that `pretrain` and `finetune` share."""

    trainer: Group
    seed: int
    overwrite: bool
    resume: bool
    epochs: int | Auto | None
    batch_size: int | None
    lr: float | None
    schedule: Literal["step", "cosine"] | None
    warmup: float | None
    patience: int | None
    head_hidden: int
    clip: float | None
    nonfinite: str
    labels: Mapping[str, Any]
    checkpoint_every: str | int
    log_every: int
    tracker: str | Sequence[str]


class Pretrain(Training, total=False):
    """Settings of `pretrain`."""

    run: StrPath
    experiment: str
    dataset: Group
    encoder: Group
    objective: Group
    weighting: Group
    mode: Literal["pretrain", "auxiliary", "supervised"]
    min_steps: int
    min_epochs: int
    max_epochs: int
    max_padding: float
    pooling: Literal["last", "mean", "max", "last_mean_max", "last_mean_max_inputs"]
    recency: bool
    event_width: int
    normalize: bool
    gap_table: Sequence[int] | None
    by_width: int
    lr_step: int
    lr_gamma: float
    accumulate: int
    select: Literal["auto", "probe", "loss", "last"]
    validate_every: int
    probe_sequences: int


class Finetune(Training, total=False):
    """Settings of `finetune`."""

    output: StrPath | None
    prepared: StrPath | None
    adapters: Literal["auto", "lora", "full"]
    lora: Mapping[str, float]


class Embed(TypedDict, total=False):
    """Settings of `embed`."""

    prepared: StrPath | None
    output: StrPath | None
    batch_events: int
    eval_length: int | None
    device: str
    threads: int | None
    shards: int
    shard: int | None
    engine: Literal["spark"] | None
    spark: Mapping[str, Any]


class Evaluate(TypedDict, total=False):
    """Settings of `evaluate`."""

    prepared: StrPath | None
    output: StrPath | None
    label: str | None
    folds: int | Auto
    within: Sequence[Literal["train", "val", "test"]]
    seeds: int | None
    poolings: bool
    logistic: bool
    head: bool
    store: bool
    label_fractions: Sequence[float]
    all_labels: bool
    boosting: Mapping[str, Any]
    seed: int
    threads: int | None


class Report(TypedDict, total=False):
    """Settings of `report`."""

    prepared: StrPath | None
    runs: str | Sequence[StrPath]
    output: StrPath | None


# A word of Python is among its names.
Tune = TypedDict(
    "Tune",
    {
        "dataset": Group,
        "encoder": Group,
        "search": Group,
        "data": StrPath,
        "output": StrPath,
        "beside": StrPath | None,
        "trials": int,
        "sampler": Literal["tpe", "random"],
        "pruner": Literal["none", "median"],
        "also": Sequence[str],
        "budget": Literal["full", "small", "smoke"],
        "with": Mapping[str, Any],
        "seed": int,
        "workers": int,
        "threads": int,
    },
    total=False,
)
