"""`grap-seq pretrain`: from a config and a prepared folder to a run folder."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from omegaconf import OmegaConf
from rich.console import Console

from grap_seq import config as configs
from grap_seq.data.crops import CropPolicy
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.model import save, set_threads
from grap_seq.files import write_json
from grap_seq.nn.build import build, build_model
from grap_seq.objectives.composite import CompositeObjective, loss_names
from grap_seq.schema import Schema
from grap_seq.training.data import PretrainData
from grap_seq.training.module import PretrainModule
from grap_seq.training.recorder import Recorder
from grap_seq.training.selection import Selection, checkpoints
from grap_seq.weighting.base import Weighting

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
PACKAGES = (
    "grap-seq",
    "torch",
    "lightning",
    "pytorch-lifestream",
    "lightgbm",
    "pyarrow",
    "ibis-framework",
)


def pretrain(config: Any) -> Path:
    """Train as configured; returns the run folder.

    Args:
        config: what `grap_seq.config.compose("pretrain", ...)` returns.

    Raises:
        FileExistsError: the run folder exists; see `overwrite` and `resume`.
        ValueError: the config does not fit the data or the machine.
    """
    run, prepared = Path(config.run), Path(config.prepared)
    check_trainer(config.trainer)
    schema = Schema.load(prepared)
    module, description = build_module(config, schema)
    data = PretrainData(
        prepared,
        CropPolicy(**config.dataset.crops),
        config.batch_size,
        seed=config.seed,
        max_padding=config.max_padding,
        workers=config.trainer.workers,
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
    last = open_run(run, config)
    set_threads(config.trainer.threads)
    savers = checkpoints(run, config.select, config.validate_every)
    callbacks: list[Callback] = [recorder, selection, *savers]
    if Console().is_terminal:
        callbacks.append(RichProgressBar())
    _quiet()
    trainer = lightning.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        precision=config.trainer.precision,
        max_epochs=config.epochs,
        max_steps=config.trainer.max_steps,
        gradient_clip_val=config.clip,
        accumulate_grad_batches=config.accumulate,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=Console().is_terminal,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=data, ckpt_path=last)
    summary = module.objective.weighting.summary()
    best = savers[0].best_model_path or savers[-1].best_model_path
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    save(module.model, description, run, prepared)
    if schema.classes:
        Console().print(summary, highlight=False)
    if previous(run).exists():
        shutil.rmtree(previous(run))
    return run


def _quiet() -> None:
    """Keep Lightning's advertisements and its advice on other set-ups off the screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (
        ".*treespec.*",
        ".*does not have many workers.*",
        ".*could not find the monitored key.*",
        ".*no `val_dataloader`.*",
    ):
        warnings.filterwarnings("ignore", message=text)


def build_module(config: Any, schema: Schema) -> tuple[PretrainModule, dict[str, Any]]:
    """The Lightning module of a config, and the description from which its model can be rebuilt.

    Raises:
        ValueError: learned weights without a label.
    """
    torch.manual_seed(config.seed)
    options: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    dataset, objective = options["dataset"], options["objective"]
    description = {
        "event_width": options["event_width"],
        "max_time_gap": dataset["max_time_gap"],
        "table_widths": dataset["table_widths"],
        "encoder": options["encoder"],
        "pooling": options["pooling"],
        "eval_length": dataset["eval_length"],
    }
    model = build_model(schema, description)
    names = loss_names(schema, objective["next_event"], objective["coles"])
    weighting: Weighting = build(options["weighting"], names, without=("lr",))
    if weighting.needs_labels and not schema.classes:
        raise ValueError(
            f"weighting={options['weighting']['name']} learns from labels and {schema.name} has"
            " none; name a label in the dataset's description, or use weighting=equal"
        )
    ignored = ("name", "next_event", "coles", "head_width")
    composite = CompositeObjective(
        schema,
        weighting,
        model.output_size,
        width=objective["head_width"],
        max_time_gap=dataset["max_time_gap"],
        time_jitter=dataset["time_jitter"],
        **{key: value for key, value in objective.items() if key not in ignored},
    )
    module = PretrainModule(
        model,
        composite,
        seed=options["seed"],
        lr=options["lr"],
        weights_lr=options["weighting"].get("lr", 0.01),
        lr_step=options["lr_step"],
        lr_gamma=options["lr_gamma"],
    )
    return module, description


def check_trainer(trainer: Any) -> None:
    """Refuse a trainer that this machine cannot run.

    Raises:
        ValueError: no GPU where one is asked for, or an unknown precision.
    """
    if trainer.precision not in PRECISIONS:
        choices = ", ".join(PRECISIONS)
        raise ValueError(f"trainer.precision={trainer.precision}: choose one of {choices}")
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: PyTorch finds no GPU on this machine; use trainer=cpu")


def open_run(run: Path, config: Any) -> Path | None:
    """Create the run folder; returns the checkpoint to continue from, if any.

    Raises:
        FileExistsError: the folder exists and neither `overwrite` nor `resume` is set.
        ValueError: `resume` with a config that differs from the stored one.
    """
    last = run / "checkpoints" / "last.ckpt"
    if config.resume and last.is_file():
        stored = configs.load(run / "config.yaml")
        given = OmegaConf.to_container(config, resolve=True)
        assert isinstance(given, dict)
        changed = [
            str(key)
            for key in given
            if key not in ("resume", "overwrite", "trainer") and given[key] != stored.get(str(key))
        ]
        if changed:
            raise ValueError(
                f"resume=true, but {', '.join(changed)} differ from {run}/config.yaml;"
                " repeat the original arguments"
            )
        return last
    if run.exists() and any(run.iterdir()) and not (config.overwrite or config.resume):
        finished = (run / "model.safetensors").is_file()
        remedy = "" if finished else " or resume=true to continue it,"
        raise FileExistsError(
            f"the run folder {run} exists; add overwrite=true to replace it,{remedy} or name"
            " another with run=..."
        )
    if run.exists() and any(run.iterdir()):
        set_aside(run)
    run.mkdir(parents=True, exist_ok=True)
    configs.save(config, run / "config.yaml")
    write_json(run / "environment.json", environment(config.seed))
    return None


def previous(run: Path) -> Path:
    """Where the replaced run waits until its successor is complete."""
    return run.with_name(f"{run.name}.previous")


def set_aside(run: Path) -> None:
    """Move a run folder away; an unfinished one only makes room for the last finished one.

    Raises:
        FileExistsError: the folder is something else than a run.
    """
    if not (run / "config.yaml").is_file():
        raise FileExistsError(f"{run} is not a run folder (no config.yaml): it is left as it is")
    if previous(run).exists():
        shutil.rmtree(run)
    else:
        run.rename(previous(run))


def environment(seed: int) -> dict[str, Any]:
    """Versions, machine and commit of a run."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "commit": commit or None,
        "seed": seed,
    }
