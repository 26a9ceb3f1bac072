"""What the children of the tests do."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


def known(folder: Path) -> None:
    """Fourteen calls that change the folder, and others that do not; see `test_faults.KNOWN`."""
    (folder / "inner").mkdir()
    path = folder / "inner" / "text"
    with path.open("wb") as file:
        file.write(b"0123456789")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path, folder / "renamed")
    shutil.copyfile(folder / "renamed", folder / "copied")
    os.link(folder / "copied", folder / "linked")
    number = os.open(folder / "linked", os.O_RDWR)
    os.pwrite(number, b"ab", 4)
    os.ftruncate(number, 6)
    os.close(number)
    shutil.rmtree(folder / "inner")
    (folder / "copied").unlink()
    # Neither reading nor writing elsewhere counts.
    (folder / "renamed").read_bytes()
    folder.with_name("elsewhere").write_text("elsewhere")


def handles(folder: Path) -> None:
    """A full disk that the program notices, clears up after, and finds still full."""
    for name in ("first", "second", "third"):
        with suppress(OSError):
            (folder / name).write_text("text")
            continue
        (folder / name).unlink(missing_ok=True)
        with folder.with_name("failed").open("a") as file:
            file.write(f"{name}\n")


def libraries(folder: Path) -> None:
    """Files that C++ and Rust write."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(100_000)}
    torch.save(tensors, folder / "checkpoint.pt")
    save_file(tensors, folder / "model.safetensors")
    frame = pd.DataFrame({"a": range(1000)})
    pq.write_table(pa.Table.from_pandas(frame), folder / "table.parquet")
    frame.to_csv(folder / "table.csv")
    with pa.ipc.new_file(folder / "table.arrow", pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": list(range(1000))}))
