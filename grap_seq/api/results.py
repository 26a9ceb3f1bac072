"""What the functions return: a prepared folder, a run, an evaluation, a report, to go on with.

Each stands for files: it can be given wherever a path can, and made anew from one.
"""

from __future__ import annotations

import html
import io
import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grap_seq.api.tables import StrPath

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

    from grap_seq.evaluation.model import EmbeddingModel
    from grap_seq.prep.folder.manifest import Manifest


class Written(os.PathLike[str]):
    """What a command has written.

    Attributes:
        path: of the folder or file.

    Args:
        path: of the folder or file.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[Written], tuple[str]]:
        # What was read of it can be read again.
        return type(self), (str(self.path),)

    def _print(self, console: Console) -> None:
        console.print(repr(self))

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from grap_seq.terminal import Terminal

        console = Terminal(record=True, file=io.StringIO(), width=110)
        self._print(console)
        return console.export_html(inline_styles=True, code_format=HTML)


PAGE = (
    '<iframe srcdoc="{}" sandbox="allow-scripts" style="width:100%;height:640px;border:0"></iframe>'
)
HTML = '<pre style="line-height:1.25;overflow-x:auto">{code}</pre>'


class Prepared(Written):
    """A prepared folder.

    Raises:
        FileNotFoundError: it is none.
        ValueError: its manifest is damaged.
    """

    def __init__(self, path: StrPath) -> None:
        from grap_seq.prep.folder.manifest import Manifest

        super().__init__(path)
        self.manifest: Manifest = Manifest.load(self.path)

    def _print(self, console: Console) -> None:
        console.print(self.manifest)


class Evaluation(Written):
    """The scores of a run: what its embeddings are worth beside plain aggregates.

    Attributes:
        result: content of evaluation.json.

    Raises:
        FileNotFoundError: nothing has been evaluated there.
    """

    def __init__(self, path: StrPath) -> None:
        super().__init__(path)
        file = self.path / "evaluation.json"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist; make it with grap_seq.evaluate({str(self.path)!r}) or"
                f" `grap-seq evaluate run={self.path}`"
            )
        self.result: dict[str, Any] = json.loads(file.read_text("utf-8"))

    @property
    def table(self) -> pd.DataFrame:
        """A row for each thing that LightGBM was fitted on: scores, and their deviation."""
        import pandas as pd

        columns = {
            name: self.result[name] for name in ("validation", "test", "std") if self.result[name]
        }
        return pd.DataFrame(columns)

    @property
    def predictions(self) -> pd.DataFrame:
        """The probability of every class (or the number) for every sequence that was scored."""
        import pandas as pd

        return pd.read_parquet(self.path / "predictions.parquet")

    def _print(self, console: Console) -> None:
        from grap_seq.evaluation.table import show

        show(self.result, console)

    def __str__(self) -> str:
        from grap_seq.terminal import Terminal

        console = Terminal(record=True, file=io.StringIO(), width=110)
        self._print(console)
        return console.export_text()


class Run(Written):
    """The folder of a run, finished or not.

    Raises:
        FileNotFoundError: it is none.
    """

    def __init__(self, path: StrPath) -> None:
        from grap_seq.stored_run import config_of

        super().__init__(path)
        self.config: dict[str, Any] = config_of(self.path)

    @cached_property
    def model(self) -> EmbeddingModel:
        """The model, for raw events; see `grap_seq.load`."""
        from grap_seq.evaluation.load import load

        return load(self.path)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row an epoch: losses, validation scores, speed."""
        import pandas as pd

        return pd.read_csv(self.path / "metrics.csv")

    @property
    def weights(self) -> pd.DataFrame:
        """A row every `log_every` steps: weights, losses, cosines and norms of the losses."""
        import pandas as pd

        return pd.read_parquet(self.path / "weights.parquet")

    @property
    def evaluation(self) -> Evaluation:
        """Of this run, once it has been evaluated."""
        return Evaluation(self.path)

    def embeddings(self, split: str = "train") -> pd.DataFrame:
        """Stored embeddings of a split, a row a sequence, by id.

        Raises:
            FileNotFoundError: they have not been made.
        """
        import pandas as pd

        file = self.path / "embeddings" / f"{split}.parquet"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist; make it with grap_seq.embed({str(self.path)!r})"
            )
        frame = pd.read_parquet(file)
        return frame.set_index(str(frame.columns[0]))

    def plot_weights(self) -> Figure:
        """Weight of every loss over the training steps."""
        from grap_seq.pages import plot_weights

        return plot_weights(self.path)

    def plot_losses(self) -> Figure:
        """Training and validation losses by epoch."""
        from grap_seq.pages import plot_losses

        return plot_losses(self.path)

    def plot_embeddings(self) -> Figure:
        """Stored embeddings in the plane, coloured by label."""
        from grap_seq.pages import plot_embeddings

        return plot_embeddings(self.path, Path(self.config["prepared"]))

    def _print(self, console: Console) -> None:
        described = self.path / "model.json"
        console.print(f"{self!r}: {self._words()}")
        if not described.is_file():
            console.print("It is not finished; pretrain(..., resume=True) goes on with it.")
            return
        from grap_seq.training.summary import sentences

        for line in sentences(json.loads(described.read_text("utf-8"))["training"]):
            console.print(line)

    def _words(self) -> str:
        groups = [name for name in ("dataset", "encoder", "weighting") if name in self.config]
        return ", ".join(f"{name} {self.config[name]['name']}" for name in groups)


class Report(Written):
    """The page of a run, or one that compares several. A notebook shows it in a frame of its own.

    Raises:
        FileNotFoundError: there is none.
    """

    def __init__(self, path: StrPath) -> None:
        super().__init__(path)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.path} does not exist; make it with grap_seq.report(run), or with"
                " `grap-seq report`"
            )

    def _repr_html_(self) -> str:
        return PAGE.format(html.escape(self.path.read_text("utf-8")))
