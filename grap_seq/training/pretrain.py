"""`grap-seq pretrain`: from a config and a prepared folder to a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from grap_seq import trackers
from grap_seq.data.crops import CropPolicy
from grap_seq.data.gaps import gaps_of
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.leak import LabelsUsed, Part
from grap_seq.evaluation.save import save
from grap_seq.evaluation.usual import usual
from grap_seq.nn.build import build, build_model
from grap_seq.nn.event_embedding import Number
from grap_seq.objectives.coles_alone import ColesAlone
from grap_seq.objectives.composite import COLES, CompositeObjective, loss_names
from grap_seq.prep.folder.state import State
from grap_seq.schema import Schema
from grap_seq.terminal import say
from grap_seq.training.budget import with_epochs
from grap_seq.training.checkpoint_files import kept
from grap_seq.training.checkpoints import Checkpoints, Interval
from grap_seq.training.criterion import criterion
from grap_seq.training.data import PretrainData
from grap_seq.training.module import PretrainModule
from grap_seq.training.recorder import Recorder
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.run_folder import finished, opened
from grap_seq.training.same_run import flat
from grap_seq.training.schedule import Schedule
from grap_seq.training.selection import Selection, patience
from grap_seq.training.summary import sentences, summarise
from grap_seq.training.time_settings import with_times
from grap_seq.training.tracking import Tracking
from grap_seq.training.trainer import build_trainer, check_trainer, fit, say_memory
from grap_seq.weighting.base import Weighting
from grap_seq.weighting.fixed import medians


def pretrain(config: Any) -> Path:
    """Train as configured; returns the run folder.

    Args:
        config: what `grap_seq.config.compose("pretrain", ...)` returns.

    Raises:
        FileExistsError: the run folder exists; see `overwrite` and `resume`.
        ValueError: the config does not fit the data or the machine.
        SystemExit: the process was told to stop; `resume` goes on.
    """
    run, prepared = Path(config.run), Path(config.prepared)
    check_trainer(config.trainer)
    names = trackers.chosen(config.tracker)
    interval = Interval.parse(config.checkpoint_every)
    schema = Schema.load(prepared)
    data = PretrainData(
        prepared,
        crop_policy(config),
        config.batch_size,
        seed=config.seed,
        max_padding=config.max_padding,
        workers=config.trainer.workers,
        fraction=config.labels.fraction,
        label=config.labels.name,
    )
    config, times = with_times(with_weights(config), data.train)
    steps = data.steps(config.trainer.devices * config.trainer.nodes, config.accumulate)
    config = with_epochs(config, steps)
    config.select = criterion(config.select, data.train, data.val)
    schedule = Schedule.from_config(config, steps)
    edges = time_edges(config.objective.time, data.train)
    known = numbers_of(prepared), recency_of(config, schema, times)
    module, description = build_module(config, schema, *known, schedule, edges)
    equal = module.objective.weighting.equal_epochs
    if 0 < config.epochs <= equal:
        say(
            f"weighting={config.weighting.name} leaves weights equal for {equal} epochs, and the"
            f" run has {config.epochs}: give epochs={equal + 1} or more for them to be learned"
        )
    recorder = Recorder(run, config.log_every)
    selection = Selection(
        config.select,
        recorder,
        data.train,
        data.val,
        every=config.validate_every,
        sequences=config.probe_sequences,
        eval_length=config.dataset.eval_length,
        seed=config.seed,
        threads=config.trainer.threads,
        boosting=Boosting.from_config(config.dataset.boosting),
    )
    with opened(run, config) as start:
        if start.finished:
            say(finished(run, config))
            return run
        saver = Checkpoints(run, config.select, interval, config.validate_every)
        stopping = patience(config.select, config.patience, config.validate_every)
        tracking = Tracking(names, recorder, flat(config))
        callbacks = [recorder, selection, tracking, *stopping, saver]
        trainer = build_trainer(config, callbacks, start.settings, config.validate_every)
        say_memory(trainer, module, data)
        checkpoint = fit(trainer, module, data, run, start)
        if checkpoint is None:
            return run
        state, epoch, chosen = kept(checkpoint)
        module.load_state_dict(state)
        # No epoch has a score where the first one to be scored was never reached.
        by = config.select if chosen else "last"
        found = summarise(run, by, epoch, config.epochs)
        name = None if data.train.label is None else data.train.label.name
        used = LabelsUsed(name, labels_in(module.objective), config.labels.fraction, by)
        more = {"gaps": times, "training": found, "labels": used.to_dict()}
        more |= usual(data.train, data.val, State.load(run))
        save(module.model, description | more, run)
    say(*sentences(found))
    if schema.labels:
        say(module.objective.weighting.summary())
    return run


def with_weights(config: Any) -> Any:
    """A copy whose fixed weights are numbers, not an earlier run's folder: that one may go."""
    config = config.copy()
    given = config.weighting.get("weights")
    if isinstance(given, str):
        config.weighting.weights = medians(Path(given))
    return config


def labels_in(objective: CompositeObjective | ColesAlone) -> Part | None:
    """What labels are to the encoder under an objective."""
    weighting = objective.weighting
    if objective.downstream is None:
        return None
    users = objective.users if isinstance(objective, CompositeObjective) else ()
    if weighting.downstream or any(getattr(loss, "needs_labels", False) for loss in users):
        return "gradient"
    return "weights" if weighting.needs_labels else None


def crop_policy(config: Any) -> CropPolicy:
    """Windows of the dataset and encoder, and the views that the objective needs."""
    objective = config.objective
    window = objective.next_event_on == "window"
    crops = windows(config.dataset, config.encoder)
    if window and not objective.coles:
        crops["views"] = 0
    return CropPolicy(**crops, window=window)


def windows(dataset: Any, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `CropPolicy`: the shortest window is the encoder's, if it says one."""
    crops: dict[str, Any] = dict(dataset.crops)
    shortest = encoder.get("min_length", crops["max_length"])
    return crops | {"min_length": min(shortest, crops["max_length"])}


def describe(
    config: Any, numbers: Mapping[str, Any] | None = None, recency: float | None = None
) -> dict[str, Any]:
    """What `build_model` needs of a config and of what the data say, and model.json keeps."""
    options: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    dataset = options["dataset"]
    return {
        "event_width": options["event_width"],
        "max_time_gap": dataset["max_time_gap"],
        "table_widths": dataset["table_widths"],
        "normalize": options["normalize"],
        "gap_table": options["gap_table"],
        "by_width": options["by_width"],
        "numbers": dict(numbers or {}),
        "encoder": options["encoder"],
        "pooling": options["pooling"],
        "recency": recency,
        "eval_length": dataset["eval_length"],
        "seed": options["seed"],
    }


def numbers_of(prepared: Path) -> dict[str, dict[str, Any]]:
    """Range of every numerical field, and whether training has events without it."""
    found, state = {}, State.load(prepared)
    for name, scaler in (state.numerical | state.static_numerical).items():
        low, high = scaler.range
        found[name] = Number(low, high, missing=scaler.missing != 0).to_dict()
    return found


def recency_of(config: Any, schema: Schema, times: Mapping[str, float]) -> float | None:
    """The data's typical gap where embeddings are to say how long ago the last event was.

    Args:
        times: what `with_times` found.
    """
    return times["median"] if config.recency and schema.until else None


def build_module(
    config: Any,
    schema: Schema,
    numbers: Mapping[str, Any] | None = None,
    recency: float | None = None,
    schedule: Schedule | None = None,
    time_edges: list[float] | None = None,
) -> tuple[PretrainModule, dict[str, Any]]:
    """The Lightning module of a config, and the description from which its model can be rebuilt.

    Args:
        config: what `grap_seq.config.compose("pretrain", ...)` returns.
        schema: the data's schema.
        numbers: what `numbers_of` says about the data.
        recency: what `recency_of` does.
        schedule: of the learning rate; None: it is constant.
        time_edges: of the bins of the time loss; None: it is an absolute error.

    Raises:
        ValueError: learned weights without a label.
    """
    torch.manual_seed(config.seed)
    options: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    objective = options["objective"]
    description = describe(config, numbers, recency)
    model = build_model(schema, description)
    chosen = (objective["targets"], objective["coles"], objective["losses"])
    # A run from before it could be told has all of them.
    names = loss_names(schema, *chosen, objective.get("without", ()))
    weighting: Weighting = build(options["weighting"], names, without=("lr", "decay"))
    if weighting.needs_labels and not schema.labels:
        raise ValueError(
            f"weighting={options['weighting']['name']} learns from labels and {schema.name} has"
            " none; name a label in the dataset's description, or use weighting=equal"
        )
    composite = _objective(schema, weighting, model.output_size, options, time_edges)
    module = PretrainModule(
        model,
        composite,
        seed=options["seed"],
        lr=options["lr"],
        weights_lr=options["weighting"].get("lr", 0.01),
        weights_decay=options["weighting"].get("decay", False),
        schedule=schedule,
        nonfinite=Nonfinite.parse(options["nonfinite"], Path(options["run"])),
    )
    return module, description


def time_edges(time: str, train: Sequences) -> list[float] | None:
    """Upper edges of the bins of the time loss, from the gaps of the training split."""
    return gaps_of(train).edges() if time == "bins" else None


def _objective(
    schema: Schema,
    weighting: Weighting,
    features: int,
    options: dict[str, Any],
    time_edges: list[float] | None,
) -> CompositeObjective | ColesAlone:
    """The losses of a config.

    Raises:
        ValueError: CoLES without a head beside other losses.
    """
    dataset, objective, label = options["dataset"], options["objective"], options["labels"]["name"]
    coles = {key: objective[f"coles_{key}"] for key in ("margin", "negatives", "reduction")}
    if objective["coles"] and not objective["coles_head"]:
        if weighting.names != (COLES,):
            raise ValueError(
                "objective.coles_head=false is for CoLES alone; other losses beside it need"
                " objective.coles_head=true, or leave them out with objective.targets=[]"
            )
        coles |= {"width": objective["head_width"], "label": label}
        return ColesAlone(schema, weighting, features, **coles)
    return CompositeObjective(
        schema,
        weighting,
        features,
        width=objective["head_width"],
        targets=objective["targets"],
        time_edges=time_edges,
        max_time_gap=dataset["max_time_gap"],
        time_jitter=dataset["time_jitter"],
        time_scale=dataset["time_scale"],
        condition_values=objective["condition_values"],
        scales=objective["scales"],
        losses=objective["losses"],
        label=label,
        **{f"coles_{key}": value for key, value in coles.items()},
    )
