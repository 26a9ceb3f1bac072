"""Lightning's trainer as the `trainer` configs describe it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from grap_seq.device import set_threads
from grap_seq.distributed import rank
from grap_seq.memory import is_out_of_memory
from grap_seq.terminal import say
from grap_seq.training.base import TrainingModule
from grap_seq.training.checkpoint_files import CheckpointFiles, load, newest
from grap_seq.training.data import PretrainData
from grap_seq.training.fits import before_training, remedies
from grap_seq.training.launched import backend, environment
from grap_seq.training.memory_estimate import Sizes
from grap_seq.training.processes import LoopbackDDP
from grap_seq.training.progress import WholeRun
from grap_seq.training.run_folder import Start
from grap_seq.training.signals import Signals, forwarded
from grap_seq.training.stop import StopAfter
from grap_seq.training.watching import watchers

# Errors that a user can mend: they are one line, whichever process raised them.
MENDABLE = {error.__name__: error for error in (ValueError, FloatingPointError)}

# Precisions that round products, and the dtype to which they do.
LOWERED = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}


def build_trainer(
    config: Any, callbacks: Sequence[Callback], settings: str, validate_every: int = 1
) -> lightning.Trainer:
    """A trainer with the epochs, clipping and `trainer` section of a config.

    Args:
        config: of the run.
        callbacks: beside those that every run has, and those of `watching`.
        settings: hash of the settings that a run which goes on has to have.
        validate_every: epochs between two validations.
    """
    steps = config.trainer.max_steps
    ours = [EachProcess(config), StopAfter(steps), WholeRun(steps)]
    _quiet()
    return lightning.Trainer(
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        num_nodes=config.trainer.nodes,
        strategy=_strategy(config.trainer),
        # A cluster's own environment would number processes that it has not started by its tasks.
        plugins=[
            environment() or LightningEnvironment(),
            CheckpointFiles(Path(config.run), settings),
        ],
        # Every process already takes its part of a batch.
        use_distributed_sampler=False,
        precision=config.trainer.precision,
        max_epochs=config.epochs,
        gradient_clip_val=config.clip or None,
        accumulate_grad_batches=config.accumulate,
        callbacks=[*ours, *callbacks, *watchers()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=validate_every,
        num_sanity_val_steps=0,
        default_root_dir=config.run,
    )


def _strategy(trainer: Any) -> DDPStrategy | str:
    if environment() is not None:
        # The processes are there, and have met.
        return DDPStrategy()
    return LoopbackDDP(backend(trainer.accelerator)) if trainer.devices > 1 else "auto"


class EachProcess(Callback):
    """What every process that trains does before it begins: threads, precision, compilation."""

    def __init__(self, config: Any) -> None:
        self.threads, self.compile = config.trainer.threads, config.trainer.compile
        self.precision = config.trainer.precision
        self.matmul_precision = config.trainer.matmul_precision

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A process that Lightning started; its first words would come before `setup`.
        self.__dict__.update(state)
        _quiet()

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        set_threads(self.threads)
        torch.set_float32_matmul_precision(self.matmul_precision)
        # What cuDNN multiplies, a GRU above all, has a setting of its own, which is on by default.
        torch.backends.cudnn.allow_tf32 = self.matmul_precision != "highest"
        if self.precision in LOWERED and trainer.is_global_zero:
            tf32 = pl_module.device.type == "cuda" and torch.backends.cudnn.allow_tf32
            say(
                f"{self.precision}: products in {LOWERED[self.precision]}, the states of a GRU in"
                f" float32{', their products in TF32' if tf32 else ''}."
            )
        if self.compile:
            assert isinstance(pl_module, TrainingModule)
            compile_module(pl_module)


def compile_module(module: TrainingModule, **options: Any) -> None:
    """Compile encoder and heads in place: batches differ in shape, one program is for all of them.

    Args:
        module: as it is trained.
        options: of `torch.compile`.
    """
    module.compile_parts(dynamic=True, **options)


def fit(
    trainer: lightning.Trainer,
    module: Any,
    data: Any,
    run: Path,
    start: Start,
    too_large: Callable[[lightning.Trainer, Any], str] | None = None,
) -> Any:
    """Train; an error of another process is raised here, as it was raised there.

    Args:
        trainer: what `build_trainer` made.
        module: what is trained.
        data: Lightning's view of the data.
        run: the run folder.
        start: where the run begins.
        too_large: says what to do about a batch of the module's that does not fit into memory;
            None: it is one of sequences.

    Returns:
        Content of the last checkpoint; None in all processes but the first.

    Raises:
        ValueError, FloatingPointError: as in training with one process.
        ValueError: memory is not enough for a batch; says what would be.
        ProcessRaisedException: another error; its message has that process's traceback.
        SystemExit: the run was told to stop, and has written a checkpoint.
    """
    path = None if start.record is None else run / start.record["file"]
    spawned: Any = trainer.strategy.launcher if environment() is None else None
    heard = forwarded(lambda: spawned.procs) if spawned else nullcontext(Signals())
    try:
        with heard as signals:
            trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    except ProcessExitedException as error:
        if signals.received is None:
            raise
        raise SystemExit(128 + signals.received) from error
    except ProcessRaisedException as error:
        name, _, message = error.msg.strip().splitlines()[-1].partition(": ")
        if name in MENDABLE:
            raise MENDABLE[name](message) from error
        raise
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error) and module.batch is not None:
            words = too_large(trainer, module) if too_large else _too_large(trainer, module)
            raise ValueError(words) from error
        raise
    if rank() > 0:
        return None
    record = newest(run, start.settings)
    assert record is not None
    return load(run, record)


def _too_large(trainer: lightning.Trainer, module: Any) -> str:
    """What to do about a batch that does not fit into memory."""
    sizes: Any = module.batch.layout.sizes
    row = int(sizes.argmax())
    loader: Any = trainer.train_dataloader
    batches = loader.dataset.of(trainer.current_epoch)
    name = batches.sequence(module.batch_number, int(module.batch.owners[row]))
    known = Sizes.of(module, batches.max_padding)
    remedy = "Lower batch_size"
    if not module.pretrained:
        remedy += ", dataset.crops.max_length, the longest crop, or encoder.hidden"
    if known is not None:
        device, pretrained = trainer.strategy.root_device, module.pretrained
        remedy = remedies(known, batches, module.batch_number, device, pretrained)
    return (
        f"memory is not enough for a batch of {len(sizes)} crops with {int(sizes.sum()):,} events;"
        f" the longest has {int(sizes[row]):,} events and is from sequence {name!r}. {remedy}"
    )


def say_memory(trainer: lightning.Trainer, module: Any, data: PretrainData) -> None:
    """Say what the largest batch will take, where it is known."""
    known = Sizes.of(module, data.max_padding)
    if known is not None:
        batches = data.first_epoch(trainer.world_size)
        say(*before_training(known, batches, trainer.strategy.root_device, module.pretrained))


def _quiet() -> None:
    """Keep Lightning's advertisements and its advice on other set-ups off the screen."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*treespec.*",
        ".*does not have many workers.*",
        ".*could not find the monitored key.*",
        # A gradient scaler may skip the first step.
        ".*lr_scheduler.step.* before .*optimizer.step.*",
        ".*no `val_dataloader`.*",
        ".*have no `validation_step`.*",
        # They begin where a stopped epoch goes on, see `PretrainData`.
        ".*your dataloader is not resumable.*",
    ):
        warnings.filterwarnings("ignore", message=text)


def check_trainer(trainer: Any) -> None:
    """Refuse a trainer that this machine cannot run.

    Raises:
        ValueError: fewer GPUs than are asked for, or a precision that is not for them.
    """
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError(
            f"trainer={trainer.name}: PyTorch finds no GPU on this machine; use trainer=cpu"
        )
    if trainer.accelerator == "gpu" and torch.cuda.device_count() < trainer.devices:
        raise ValueError(
            f"trainer={trainer.name} needs {trainer.devices} GPUs, and PyTorch finds"
            f" {torch.cuda.device_count()}; use trainer=gpu, or trainer.devices= with their number"
            " (under SLURM give each task all of them: --gpus-per-node, not --gpus-per-task)"
        )
    if trainer.nodes > 1 and environment() is None:
        raise ValueError(
            f"trainer.nodes={trainer.nodes}: start the command on every machine by torchrun, or by"
            " srun under SLURM (docs/machines.md)"
        )
    if trainer.accelerator == "cpu" and trainer.precision == "16-mixed":
        raise ValueError("trainer.precision=16-mixed needs a GPU; use 32-true here")
    if trainer.precision != "bf16-mixed":
        return
    if trainer.accelerator == "cpu" and not _cpu_has_bfloat16():
        raise ValueError(
            "trainer.precision=bf16-mixed: this processor has no instructions for bfloat16, and"
            " would take ten times as long as with trainer.precision=32-true"
        )
    if trainer.accelerator == "gpu" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"{torch.cuda.get_device_name()} has no bfloat16; use trainer.precision=16-mixed"
        )


def _cpu_has_bfloat16() -> bool:
    return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)
