"""A run as files for other runtimes: model.onnx or model.pt2, and coder.json beside it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.export.coder import coder
from grap_seq.export.rectangles import Rectangles
from grap_seq.files import atomic_write, write_json
from grap_seq.prep.folder.state import State

Format = Literal["onnx", "torch_export"]
FILES: dict[Format, str] = {"onnx": "model.onnx", "torch_export": "model.pt2"}
CODER = "coder.json"
EXTRA = "exporting to ONNX needs the packages of pip install 'grap-seq[onnx]'"


class Positional(nn.Module):
    """The model with its inputs one behind the other: times, lengths, until, then the fields."""

    def __init__(self, model: Rectangles, names: list[str], until: bool) -> None:
        super().__init__()
        self.model, self.names, self.until = model, names, until

    def forward(self, times: Tensor, lengths: Tensor, *rest: Tensor) -> Tensor:
        """Embeddings (B, E)."""
        until, fields = (rest[0], rest[1:]) if self.until else (None, rest)
        embedded: Tensor = self.model(
            dict(zip(self.names, fields, strict=True)), times, lengths, until
        )
        return embedded


def export(model: EmbeddingModel, output: Path, format: Format = "onnx") -> list[Path]:
    """Write a model and what codes events for it.

    Batch and length are free. The file's embeddings are those of `model.embed` but for rounding.

    Args:
        model: on the CPU.
        output: folder of the files.
        format: onnx, for ONNX Runtime; or torch_export, for `torch.export.load`.

    Returns:
        The files.

    Raises:
        ValueError: an encoder that is none of grap_seq's own, or packages of the extra are missing.
        FileExistsError: one of the files is there.
    """
    files = [output / FILES[format], output / CODER]
    for path in files:
        if path.exists():
            raise FileExistsError(f"{path} exists; remove it, or name another folder with output=")
    schema, until = model.schema, model.model.recency is not None
    static = [field.name for field in schema.static]
    fields = [*schema.fields, *schema.static]
    described = coder(State.load(model.run), model.eval_length, model.model.embedding_size)
    described["until"] = until
    inputs = {field["name"]: field["input"] for field in described["fields"]}
    module = Positional(
        Rectangles(model.model, tuple(static)), [field.name for field in fields], until
    )
    # An example of two rows, the second of which is shorter; nothing of it stays in the file.
    example = [torch.arange(6, dtype=torch.float64).view(2, 3), torch.tensor([3, 2])]
    free: list[Any] = [{0: ROWS, 1: EVENTS}, {0: ROWS}]
    if until:
        example.append(torch.tensor([4.0, 7.0], dtype=torch.float64))
        free.append({0: ROWS})
    for field in fields:
        kind = torch.int64 if field.kind == "categorical" else torch.float32
        alone = field.name in static
        example.append(torch.ones((2,) if alone else (2, 3), dtype=kind))
        free.append({0: ROWS} if alone else {0: ROWS, 1: EVENTS})
    names = ["times", "lengths", *(["until"] if until else []), *(inputs[f.name] for f in fields)]
    shapes = (free[0], free[1], tuple(free[2:]))
    output.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), _quiet(), atomic_write(files[0]) as temporary:
        if format == "onnx":
            _onnx(module, tuple(example), shapes, names, temporary)
        else:
            program = torch.export.export(module, tuple(example), dynamic_shapes=shapes)
            # `save` wants the suffix.
            named = temporary.with_name(f"{temporary.name}.pt2")
            torch.export.save(program, named)
            named.rename(temporary)
    write_json(files[1], described)
    return files


ROWS, EVENTS = torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC


def _onnx(
    module: nn.Module, example: tuple[Tensor, ...], shapes: Any, names: list[str], path: Path
) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(EXTRA) from error
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=names,
        output_names=["embeddings"],
        verbose=False,
    )
    assert program is not None
    program.save(path)


@contextlib.contextmanager
def _quiet() -> Any:
    """Without the exporter's remarks about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
