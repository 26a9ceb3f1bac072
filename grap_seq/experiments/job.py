"""One run of a grid, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One run, in a folder of its own.

    Args:
        name: of its folder, another one for other settings of training.
        title: for people.
        alike: what it shares with runs that take about as long.
        settings: of the command, without folders and threads.
        prepared: the prepared folder, of `vision` the place of the images; None: `settings` name
            it, or `base` does.
        threads: of the run; 1 makes it bit-reproducible.
        evaluation: settings of `evaluate`, without folders and threads; None: the run is not
            evaluated.
        base: the run that is fine-tuned, or whose median weights are taken.
        command: what trains: pretrain, finetune, or vision.
        tested: whether it is evaluated as a whole; False: a search chooses by the validation score
            of its embedding, and asks for nothing else.
    """

    name: str
    title: str
    alike: str
    settings: tuple[str, ...]
    prepared: Path | None = None
    threads: int = 1
    evaluation: tuple[str, ...] | None = None
    base: Job | None = None
    command: str = "pretrain"
    tested: bool = True

    @property
    def asked(self) -> str:
        """How it is judged; empty where it is not, or where training does it."""
        words = " ".join(self.evaluation or ())
        return words if self.tested else f"validation alone, {words}"
