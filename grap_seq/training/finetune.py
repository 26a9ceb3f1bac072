"""`grap-seq finetune` and `mode=supervised`: from labelled sequences to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from grap_seq import overrides, seal, settings, trackers
from grap_seq.data.crops import CropPolicy
from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.leak import LabelsUsed
from grap_seq.evaluation.load import load
from grap_seq.evaluation.save import save
from grap_seq.evaluation.stored_head import write_head
from grap_seq.evaluation.usual import usual
from grap_seq.nn.build import build_model
from grap_seq.nn.label_head import build_head
from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.nn.transformer import TransformerEncoder
from grap_seq.prep.folder.state import State, check_codes
from grap_seq.prep.folder.verify import verify
from grap_seq.schema import Schema
from grap_seq.stored_run import config_of
from grap_seq.terminal import say
from grap_seq.training.adapters import add_adapters, merge_adapters
from grap_seq.training.budget import with_epochs
from grap_seq.training.checkpoint_files import kept
from grap_seq.training.checkpoints import Checkpoints, Interval
from grap_seq.training.criterion import Criterion
from grap_seq.training.data import PretrainData
from grap_seq.training.pretrain import describe, numbers_of, recency_of, windows
from grap_seq.training.refusal import Nonfinite
from grap_seq.training.run_folder import finished, opened
from grap_seq.training.same_run import flat
from grap_seq.training.schedule import Schedule
from grap_seq.training.selection import patience
from grap_seq.training.summary import sentences, summarise
from grap_seq.training.supervised import HeadScore, SupervisedModule, head_score
from grap_seq.training.time_settings import with_times
from grap_seq.training.tracking import Tracking
from grap_seq.training.trainer import build_trainer, check_trainer, fit, say_memory

# Settings that a run hands on to its fine-tuning.
KEPT = (
    *("prepared", "batch_size", "max_padding", "clip", "accumulate"),
    *("min_steps", "min_epochs", "max_epochs", "patience"),
    *("schedule", "warmup", "lr_step", "lr_gamma"),
)


def supervised(config: Any) -> Path:
    """Train encoder and head from random weights; returns the run folder.

    Args:
        config: what `grap_seq.config.compose("pretrain", ["mode=supervised", ...])` returns.

    Raises:
        FileExistsError: the run folder exists; see `overwrite` and `resume`.
        ValueError: the data have no label, or the config does not fit them or the machine.
    """
    schema = _labelled(Path(config.prepared))
    config, times = with_times(config, Sequences(Path(config.prepared), "train"))
    torch.manual_seed(config.seed)
    numbers = numbers_of(Path(config.prepared))
    description = describe(config, numbers, recency_of(config, schema, times))
    model = build_model(schema, description)
    description["gaps"] = times
    _add_end_token(model, description)
    return _train(config, model, description)


def finetune(config: Any) -> Path:
    """Continue a pretrained run by the label; returns the new run folder.

    `adapters`: "full" trains every parameter, "lora" low-rank adapters in Transformer layers,
    which are merged at the end; "auto" is lora for Transformers and full for the rest, as in the
    published experiments (protocol of Table 6).

    Args:
        config: `compose("finetune", [...])`, completed by the pretrained run's own settings.

    Raises:
        FileNotFoundError: the run is not finished.
        FileExistsError: the output exists; see `overwrite` and `resume`.
        ValueError: other data than the run's, no label, or options that do not fit.
    """
    source = load(config.pretrained, warm=False)
    _labelled(Path(config.prepared))
    check_codes(Path(config.prepared), Path(config.pretrained))
    torch.manual_seed(config.seed)
    layered = isinstance(source.model.encoder, TransformerEncoder)
    lora = config.adapters == "lora" or (config.adapters == "auto" and layered)
    end = _add_end_token(source.model, source.description)
    if lora:
        add_adapters(source.model, **config.lora)
        if end is not None:
            end.requires_grad_(True)
    return _train(config, source.model, source.description, lora=lora)


def settings_of(config: Any) -> Any:
    """A finetune config with what it leaves to the pretrained run: data, crops, batches, rates.

    Raises:
        ValueError: text where a number belongs, a count below one, or a run of another version.
    """
    stored = config_of(Path(config.run))
    dataset = stored["dataset"]
    own = OmegaConf.to_container(config, resolve=True)
    assert isinstance(own, dict)
    given = {str(key): value for key, value in own.items() if value is not None}
    given["labels"]["name"] = given["labels"]["name"] or stored["labels"].get("name")
    if not stored.keys() >= set(KEPT):
        raise ValueError(
            f"{config.run} was trained by another version of grap_seq, without settings that it"
            " would hand on; train it again, or install that version"
        )
    defaults = {key: stored[key] for key in KEPT} | dataset["finetune"]
    # Here null is the pretrained run's value, so its own null has to be written as 0.
    defaults["clip"] = defaults["clip"] or 0.0
    merged = defaults | given
    output = config.output or f"{config.run.rstrip('/')}_finetuned"
    merged |= {"pretrained": config.run, "run": output, "dataset": dataset}
    try:
        settings.check(merged, merged, optional=("labels.name",))
    except ValueError as error:  # What the user typed has been checked.
        raise ValueError(f"{config.run}/config.yaml: {error}") from error
    return overrides.plain(merged)


def _add_end_token(model: SequenceModel, description: dict[str, Any]) -> nn.Parameter | None:
    """Let a new token sum up a Transformer's sequence for the label (protocol: a CLS event)."""
    if not isinstance(model.encoder, TransformerEncoder) or model.encoder.end is not None:
        return None
    description["encoder"]["end_token"] = True
    return model.encoder.add_end_token()


def _labelled(prepared: Path) -> Schema:
    verify(prepared)
    schema = Schema.load(prepared)
    if not schema.labels:
        raise ValueError(
            f"{prepared} has no label to learn; name one in the dataset's description and prepare"
            " it again"
        )
    return schema


def _train(
    config: Any, model: SequenceModel, description: dict[str, Any], lora: bool = False
) -> Path:
    run, prepared = Path(config.run), Path(config.prepared)
    check_trainer(config.trainer)
    names = trackers.chosen(config.tracker)
    interval = Interval.parse(config.checkpoint_every)
    dataset = config.dataset
    policy = CropPolicy(**windows(dataset, description["encoder"]) | {"views": 0}, window=True)
    data = PretrainData(
        prepared,
        policy,
        config.batch_size,
        seed=config.seed,
        max_padding=config.max_padding,
        workers=config.trainer.workers,
        labelled=True,
        fraction=config.labels.fraction,
        label=config.labels.name,
    )
    steps = data.steps(config.trainer.devices * config.trainer.nodes, config.accumulate)
    config = with_epochs(config, steps)
    label = data.train.label
    assert label is not None
    head = build_head(model.embedding_size, label.outputs, config.head_hidden)
    module = SupervisedModule(
        model,
        head,
        label,
        seed=config.seed,
        lr=config.lr,
        schedule=Schedule.from_config(config, steps),
        nonfinite=Nonfinite.parse(config.nonfinite, run),
        pretrained="pretrained" in config,
    )
    model.train()
    scorer = HeadScore(run, data.val, dataset.eval_length, config.log_every)
    by: Criterion = "probe" if len(data.val.examples()) else "last"
    with opened(run, config) as start:
        if start.finished:
            say(finished(run, config))
            return run
        stopping, saver = patience(by, config.patience), Checkpoints(run, by, interval)
        tracking = Tracking(names, scorer, flat(config))
        callbacks = [scorer, tracking, *stopping, saver]
        trainer = build_trainer(config, callbacks, start.settings)
        say_memory(trainer, module, data)
        checkpoint = fit(trainer, module, data, run, start)
        if checkpoint is None:
            return run
        state, epoch, _ = kept(checkpoint)
        module.load_state_dict(state)
        # Training has left it on the CPU.
        module.to(trainer.strategy.root_device)
        splits = {"validation": data.val, "test": Sequences(prepared, "test", label.name)}
        scores = {
            name: head_score(module, rows, dataset.eval_length) for name, rows in splits.items()
        }
        if lora:
            merge_adapters(model)
        found = summarise(run, "score" if by == "probe" else by, epoch, config.epochs)
        used = LabelsUsed(label.name, "gradient", config.labels.fraction, by)
        used = used.after(LabelsUsed.of(description))
        seal.write_json(run, "head.json", {"label": label.name, "metric": label.metric, **scores})
        about = write_head(head, run, label, config.head_hidden)
        facts = {"training": found, "labels": used.to_dict(), "head": about}
        facts |= usual(data.train, data.val, State.load(run))
        save(model, {**description, **facts}, run)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
    say(*sentences(found), f"{label.metric} of the head: {shown}")
    return run
