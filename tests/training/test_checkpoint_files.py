"""A checkpoint from a stranger is read as tensors and plain values, whatever it holds."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from grap_seq import commands, seal
from grap_seq.training.checkpoint_files import CheckpointFiles


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.mark),)


WRITERS: dict[str, Any] = {
    "checkpoint": torch.save,
    "legacy": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_crafted_checkpoint_runs_nothing(kind: str, shop: Path, tmp_path: Path) -> None:
    run, mark = tmp_path / "run", tmp_path / "mark"
    arguments = ["dataset=table", "dataset.hidden=8", "event_width=8", "select=last"]
    arguments += [f"prepared={shop}", f"run={run}"]
    commands.pretrain([*arguments, "epochs=1"])
    (path,) = (run / "checkpoints").glob("*.ckpt")
    name = path.relative_to(run).as_posix()
    facts = dict(seal.records(run)[name][-1])
    for key in ("file", "sha256", "bytes"):
        del facts[key]
    content = torch.load(path, weights_only=True) | {"payload": Payload(mark)}
    # With the right checksum: whoever crafts a run can write that, too.
    with seal.write(run, name, **facts) as temporary:
        WRITERS[kind](content, temporary)
    with pytest.raises(ValueError, match="holds objects, whose code is not run"):
        commands.pretrain([*arguments, "epochs=2", "resume=true"])
    with pytest.raises(ValueError, match="holds objects, whose code is not run"):
        CheckpointFiles(run, "").load_checkpoint(path, weights_only=False)
    assert not mark.exists()
    # The payload works.
    with suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert mark.exists()
