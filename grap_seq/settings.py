"""Every setting of every command: its kind and range, in one table.

Checked when a config is composed, before anything is read or written. The configs have the values,
this table says what else may stand in their place. Names are those of a config's keys; where a key
has no entry under its whole name, nor its place one for all names (`weighting.weights.*`), the last
part of the name counts, so that `lr` is also `dataset.lr`. Options of a class that is not of this
package or of pytorch-lifestream have the kind of their default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from grap_seq import trackers
from grap_seq.experiments.tables import BUDGETS, TABLES
from grap_seq.hub.address import REPOSITORY
from grap_seq.kinds import (
    ANYTHING,
    FOLDER,
    MAPPING,
    PATH,
    SIZE,
    SWITCH,
    TEXT,
    Kind,
    choice,
    each,
    like,
    number,
    whole,
)

AUTO = "auto"
WIDTH = whole(1, 16_384)
WIDTH_OR_NONE = whole(0, 16_384)
EVENTS = whole(1)
EPOCHS = whole(1, 1_000_000)
SHARE = number(0, 1)
PART = number(0, 1, below=True)
POSITIVE = number(0, above=True)
# Threads and processes: a slip of the finger here brings a machine down.
PROCESSES = whole(1, 1024)
NONFINITE = r"stop|skip:([1-9]\d*)"
DEVICE = r"auto|cpu|cuda(:\d{1,3})?"
DURATION = r"(\d*[1-9]\d*) ?(s|min|h)"
# A folder, or numbers by the names of losses.
WEIGHTS = Kind(
    "the folder of a run, or a weight for each loss such as {time: 1, coles: 0.5}",
    lambda value: PATH.accepts(value) or isinstance(value, Mapping),
    as_typed=r"(?!\{).*",
)
TRACKER = choice(*trackers.NAMES)
RUNS = Kind(
    "a list of run folders such as [runs/a,runs/b], or a pattern such as 'runs/*'",
    lambda value: TEXT.accepts(value) or each(TEXT).accepts(value),
    as_typed=r"(?!\[).*",
)
LOSS = Kind(
    "the class of a loss such as {class: mine.EventsSoFar}",
    lambda value: isinstance(value, Mapping) and TEXT.accepts(value.get("class")),
)
# LightGBM's, with the ranges of its documentation.
_BOOSTING = {
    "n_estimators": whole(1, 1_000_000),
    "learning_rate": POSITIVE,
    "max_depth": whole(-1, 1000),
    "num_leaves": whole(2, 131_072),
    "min_data_in_leaf": whole(0),
    "bagging_fraction": number(0, 1, above=True),
    "bagging_freq": whole(0),
    "feature_fraction": number(0, 1, above=True),
    "lambda_l1": number(0),
    "lambda_l2": number(0),
    "max_bin": whole(2, 65_535),
}
_GROUPS = ("binary", "multiclass", "regression")
BOOSTING = {
    **{f"boosting.{group}": MAPPING for group in _GROUPS},
    **{f"boosting.{group}.{name}": kind for group in _GROUPS for name, kind in _BOOSTING.items()},
}
KINDS: dict[str, Kind] = {
    # Files and folders.
    **dict.fromkeys(("source", "spec"), PATH),
    **dict.fromkeys(("output", "run", "prepared", "like"), FOLDER),
    "runs": RUNS,
    # Names.
    **dict.fromkeys(("name", "recipe", "class", "label", "method"), TEXT),
    "labels.name": TEXT.or_null(),
    "mode": choice("pretrain", "auxiliary", "supervised"),
    # Preparation.
    "until": Kind(
        "a date, a number, the name of a column, or newest",
        lambda value: TEXT.accepts(value) or number().accepts(value),
    ),
    "engine": choice("duckdb", "spark"),
    "to": Kind(
        "owner/name of a repository",
        lambda value: re.fullmatch(REPOSITORY, str(value)) is not None,
        as_typed=REPOSITORY,
    ),
    "private": SWITCH,
    "license": TEXT.or_null(),
    "format": choice("onnx", "torch_export"),
    "spark.*": ANYTHING,
    "shards": whole(1, 1_000_000),
    "shard": whole(0, 999_999),
    "memory_limit": SIZE,
    **dict.fromkeys(("strict", "overwrite", "resume"), SWITCH),
    "rows": whole(1),
    "seed": whole(0),
    # Training.
    "epochs": EPOCHS.or_word(AUTO),
    **dict.fromkeys(("min_epochs", "max_epochs", "lr_step", "validate_every"), EPOCHS),
    "patience": whole(0, 1_000_000),
    "min_steps": whole(1),
    "max_steps": Kind(
        "a whole number from 1 up, or -1 for all epochs",
        lambda value: value == -1 or whole(1).accepts(value),
    ),
    **dict.fromkeys(("batch_size", "accumulate", "log_every", "probe_sequences"), EVENTS),
    "checkpoint_every": Kind(
        "a time such as 10min, 90s or 1h, or a number of optimiser steps such as 500",
        lambda value: re.fullmatch(DURATION, str(value)) is not None or whole(1).accepts(value),
    ),
    "tracker": Kind(
        f"{TRACKER.says}, or several such as [tensorboard,mlflow]",
        lambda value: TRACKER.accepts(value) or each(TRACKER).accepts(value),
    ),
    "max_padding": SHARE,
    "lr": number(0),
    "lr_gamma": number(0, 1, above=True),
    "schedule": choice("step", "cosine"),
    "warmup": PART,
    "clip": number(0).or_null(),
    "nonfinite": Kind(
        "stop, or skip:N to go on after up to N refused updates in a row, such as skip:2",
        lambda value: re.fullmatch(NONFINITE, str(value)) is not None,
        as_typed=NONFINITE,
    ),
    "fraction": number(0, 1, above=True),
    "select": choice(AUTO, "probe", "loss", "last"),
    "accelerator": choice("cpu", "gpu"),
    "device": Kind(
        "auto for a GPU where there is one, cpu, cuda, or a certain GPU such as cuda:1",
        lambda value: re.fullmatch(DEVICE, str(value)) is not None,
        as_typed=DEVICE,
    ),
    "precision": choice("32-true", "bf16-mixed", "16-mixed"),
    "matmul_precision": choice("highest", "high", "medium"),
    **dict.fromkeys(("nodes", "devices"), PROCESSES),
    "threads": PROCESSES.or_null(),
    "workers": whole(0, 1024),
    "compile": SWITCH,
    "adapters": choice(AUTO, "lora", "full"),
    "rank": WIDTH,
    "alpha": number(0, 1e6),
    # Data and model.
    "max_time_gap": POSITIVE.or_word(AUTO),
    "time_scale": POSITIVE.or_word(AUTO),
    "time_jitter": number(0).or_word(AUTO),
    "max_length": whole(2),
    "min_length": whole(2),
    "views": whole(1, 1000),
    **dict.fromkeys(("view_min", "view_max", "min_time_step", "max_duration"), POSITIVE),
    **dict.fromkeys(("eval_length", "batch_events"), EVENTS),
    **dict.fromkeys(("hidden", "hidden_size", "feedforward", "head_width"), WIDTH),
    **dict.fromkeys(("event_width", "by_width", "head_hidden"), WIDTH_OR_NONE),
    **dict.fromkeys(("layers", "num_layers", "heads"), whole(1, 1024)),
    **dict.fromkeys(("dropout", "attention_dropout"), PART),
    **dict.fromkeys(("frequency", "apply_probability", "history_probability"), SHARE),
    "table_widths.*": WIDTH,
    "gap_table": each(WIDTH, 2).or_null(),
    "pooling": choice("last", "mean", "max", "last_mean_max", "last_mean_max_inputs"),
    **dict.fromkeys(("recency", "normalize", "rotary"), SWITCH),
    "placement": choice("uniform", "bias_end", "bias_end_relaxed", "full", "last", "fixed", "none"),
    "positions": each(whole(0)),
    "selection": choice("random", "last", "none"),
    "predict": choice("all", "events"),
    "embed_layers": choice("all", "last"),
    "type": choice("gru", "lstm"),
    "trainable_starter": choice("static", "none"),
    # Losses and their weights.
    "targets": each(choice("next", "past", "future")),
    **dict.fromkeys(("objective.coles", "coles_head", "condition_values"), SWITCH),
    "next_event_on": choice("views", "window"),
    "time": choice("error", "bins"),
    "coles_margin": number(0),
    "coles_negatives": whole(1),
    "coles_reduction": choice("mean", "sum"),
    "losses.*": LOSS,
    "without": each(TEXT),
    "scales.*": POSITIVE,
    "weights": WEIGHTS,
    **dict.fromkeys(("weights.*", "searched_weights.*", "missing"), number(0)),
    "options.*": ANYTHING,
    "temperature": POSITIVE,
    "caution": number(0),
    "normalization": choice("gradnorm", "sum", "norm", "none"),
    "rescale": choice("equal", "unit"),
    "units": choice("loss", "gradient"),
    "downstream_norm": choice("none", "batch"),
    **dict.fromkeys(("smoothing", "norm_decay", "memory"), PART),
    "every": whole(1),
    "decay": SWITCH,
    "weighting.warmup": whole(0),
    "regularization": number(0),
    "scale": POSITIVE,
    # Images.
    **dict.fromkeys(("size", "channels", "projection", "projector_hidden"), WIDTH),
    "resize": WIDTH.or_null(),
    **dict.fromkeys(("predictor_hidden", "queue", "neighbours", "probe_images"), whole(1)),
    "kind": choice("colour", "strokes"),
    "stem": choice("cifar", "imagenet"),
    "padding": whole(0, 64),
    "width": WIDTH,
    **dict.fromkeys(("mean", "std"), each(number())),
    "views.scale": each(number(0, 1, above=True), 2),
    "jitter": each(number(0, 1), 4),
    **dict.fromkeys(("jitter_p", "grey_p", "flip_p", "momentum"), SHARE),
    **dict.fromkeys(("blur_p", "solarise_p"), each(SHARE, 2)),
    "turn": number(0, 180),
    "shift": PART,
    "noise": number(0, 1),
    **dict.fromkeys(("transformer_lr", "classifier_lr", "weight_decay"), number(0)),
    "attention_temperature": POSITIVE,
    "swapped_axes": SWITCH,
    "data.backbone": TEXT,
    "reader.label": choice("fine", "coarse", "alphabet", "character"),
    # Evaluation.
    "folds": Kind(
        "auto, 0, or a number of folds from 2 to 1000",
        lambda value: (value in (AUTO, 0) and value is not False) or whole(2, 1000).accepts(value),
    ),
    "within": each(choice("train", "val", "test")),
    "seeds": whole(1, 1000),
    **dict.fromkeys(("poolings", "logistic", "head", "store", "all_labels"), SWITCH),
    "label_fractions": each(number(0, 1, above=True)),
    **BOOSTING,
    # Serving.
    "host": TEXT,
    "port": whole(0, 65_535),
    "body_megabytes": number(0, 10_000, above=True),
    "waiting": whole(1, 1_000_000),
    # Grids of runs.
    "table": Kind(
        f"one of the paper's tables that can be made: {', '.join(TABLES)}",
        lambda value: str(value) in TABLES,
        as_typed="|".join(TABLES),
    ),
    **dict.fromkeys(("datasets", "encoders"), each(TEXT).or_null()),
    "methods": each(TEXT).or_null(),
    "budget": choice(*BUDGETS),
    **dict.fromkeys(("data", "beside"), FOLDER),
    "trials": whole(1, 100_000),
    "tuned": whole(0, 100_000),
    "sampler": choice("tpe", "random"),
    "pruner": choice("none", "median"),
    **dict.fromkeys(("search.space", "also"), each(TEXT)),
    "search.each_loss": TEXT.or_null(),
    "with": MAPPING,
    "with.*": ANYTHING,
    # What `experiment=` sets.
    "published.*": ANYTHING,
}
# Classes whose options are in the table.
KNOWN = ("grap_seq.", "ptls.")


def kind_of(key: str) -> Kind | None:
    """The kind of a setting; None: it is not in the table."""
    parts = key.split(".")
    for place in range(len(parts)):
        *above, last = parts[place:]
        for name in (".".join([*above, last]), ".".join([*above, "*"])):
            if name in KINDS:
                return KINDS[name]
    return None


def is_open(key: str) -> bool:
    """Whether a setting is a mapping whose entries the user names."""
    return f"{key.rpartition('.')[2]}.*" in KINDS


def check(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    typed: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> None:
    """Refuse a setting of another kind or beyond its range.

    Args:
        values: what was composed.
        defaults: the same without what the user typed.
        typed: keys that the user typed: they are named rather than those that refer to them.
        optional: keys that may be null.

    Raises:
        ValueError: the setting, its value and what to write.
    """
    found = sorted(_entries(values, defaults), key=lambda entry: entry[0] not in set(typed))
    for key, value, kind in found:
        if not (value is None and key in optional):
            kind.check(f"{key}={_typed(value)}", value)


def _typed(value: Any) -> Any:
    """A value as it is typed."""
    return json.dumps(value) if value is None or isinstance(value, bool) else value


def _entries(
    values: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = "", own: bool = False
) -> list[tuple[str, Any, Kind]]:
    """Every setting with its value and kind; `own` ones are options of the user's class."""
    found = []
    for name, value in values.items():
        key, default = f"{prefix}{name}", defaults.get(name)
        kind = None if own and name not in ("name", "class") else kind_of(key)
        # A section may be called as a setting of another command is, such as `data` and `heads`.
        if kind is None or (isinstance(default, Mapping) and not kind.accepts(default)):
            kind = MAPPING if is_open(key) else like(default)
        found.append((key, value, kind))
        if isinstance(value, Mapping) and (kind is MAPPING or is_open(key)):
            path = str(value.get("class", KNOWN[0]))
            below = default if isinstance(default, Mapping) else {}
            found += _entries(value, below, f"{key}.", own or not path.startswith(KNOWN))
    return found
