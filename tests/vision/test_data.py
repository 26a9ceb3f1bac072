"""Batches by number: complete, reproducible, the same from any process and after a resume."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from grap_seq.training.refusal import tensors_of
from grap_seq.vision.batch import ImageBatch
from grap_seq.vision.data import ImageData
from grap_seq.vision.images import Images
from grap_seq.vision.readers import read
from tests.vision.pictures import random_images, write_folders

VIEWS: Mapping[str, Any] = {"scale": [0.3, 1.0], "turn": 10, "shift": 0.1}
TRAIN, VAL = random_images(23), random_images(11, seed=1)


def images_data(**changed: Any) -> ImageData:
    return ImageData(TRAIN, VAL, VIEWS, **{"size": 6, "batch_size": 5, "seed": 3, **changed})


def assert_same(left: ImageBatch, right: ImageBatch) -> None:
    for one, other in zip(left.tensors(), right.tensors(), strict=True):
        assert one.dtype == other.dtype
        assert one.equal(other)


def test_an_epoch_is_whole_batches_of_images_seen_once() -> None:
    batches = images_data().batches(2)
    assert len(batches) == images_data().steps() == 4
    assert images_data().steps(accumulate=3) == 2
    found = [batches[step] for step in range(4)]
    owners = torch.cat([batch.owners for batch in found]).tolist()
    assert len(set(owners)) == 20
    assert owners != sorted(owners)
    assert torch.cat([batch.labels for batch in found]).tolist() == TRAIN.labels[owners].tolist()
    for batch in found:
        assert (tuple(batch.views.shape), batch.views.dtype) == ((2, 5, 3, 6, 6), torch.float32)
        assert (len(batch), batch.events) == (5, 5)
    other = images_data().batches(3)
    assert {*owners} != {int(owner) for step in range(4) for owner in other[step].owners}
    with pytest.raises(IndexError):
        batches[4]


def test_views_are_of_their_owner() -> None:
    # Of an image of one colour a view has that one, too.
    pixels = torch.arange(23, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    batch = ImageData(
        Images(pixels, TRAIN.labels, TRAIN.classes),
        VAL,
        {**VIEWS, "turn": 0, "shift": 0.0},
        size=6,
        batch_size=5,
    ).batches(0)[1]
    wanted = batch.owners.view(1, -1, 1, 1, 1).expand_as(batch.views)
    assert (batch.views * 255).round().equal(wanted.float())


def test_batches_are_functions_of_seed_epoch_and_step() -> None:
    wanted = [images_data().batches(2)[step] for step in range(4)]
    batches = images_data().batches(2)
    for step in (3, 0, 2, 1):
        torch.manual_seed(step)
        assert_same(batches[step], wanted[step])
    for other in (images_data(seed=4).batches(2), images_data().batches(1)):
        with pytest.raises(AssertionError):
            assert_same(other[0], wanted[0])
    # The same images in another epoch are cut in another way.
    again = images_data().batches(1)
    same = {int(owner): view for step in range(4) for owner, view in pairs(again[step])}
    seen = [(int(owner), view) for batch in wanted for owner, view in pairs(batch)]
    compared = [same[owner].equal(view) for owner, view in seen if owner in same]
    assert len(compared) > 10
    assert not any(compared)


def pairs(batch: ImageBatch) -> list[tuple[Tensor, Tensor]]:
    return list(zip(batch.owners, batch.views[0], strict=True))


def test_worker_processes_change_nothing() -> None:
    alone, shared = (images_data(workers=workers) for workers in (0, 2))
    for name in ("train_dataloader", "val_dataloader"):
        left, right = list(getattr(alone, name)()), list(getattr(shared, name)())
        assert len(left) == len(right) > 2
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)


def test_processes_share_the_batches_of_one_with_all_their_images() -> None:
    data = images_data(batch_size=3)
    together = images_data(batch_size=6).batches(1)
    parts = [data.batches(1, rank, 2) for rank in range(2)]
    assert data.steps(2) == len(together) == len(parts[0]) == 3
    for step in range(3):
        batches = [part[step] for part in parts]
        dealt = torch.stack([batch.owners for batch in batches], 1).flatten()
        assert dealt.equal(together[step].owners)
        assert not batches[0].views.equal(batches[1].views)


def test_validation_images_come_in_order_and_are_shared() -> None:
    data = images_data(size=8)
    batches = list(data.val_dataloader())
    assert torch.cat([batch.owners for batch in batches]).tolist() == list(range(11))
    assert max(map(len, batches)) <= 5
    whole = torch.cat([batch.views[0] for batch in batches])
    assert (whole * 255).round().equal(VAL.batch(range(11)).float())
    assert torch.cat([batch.labels for batch in batches]).tolist() == VAL.labels.tolist()
    parts = []
    for rank in range(2):
        part = images_data(batch_size=2)
        part.processes = lambda rank=rank: {"rank": rank, "world": 2}  # type: ignore
        parts.append(list(part.val_dataloader()))
    assert len(parts[0]) == len(parts[1]) == 3
    assert all(len(batch) for batch in parts[1])
    owners = [int(owner) for part in parts for batch in part for owner in batch.owners]
    assert sorted(owners) == list(range(11))


class Noted(lightning.LightningModule):
    """Learns nothing, and keeps what it sees; may stop the run at a batch."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.weight, self.stop = torch.nn.Parameter(torch.zeros(())), stop
        self.seen: list[ImageBatch] = []

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        self.seen.append(batch)
        if len(self.seen) == self.stop:
            self.trainer.save_checkpoint(Path(self.trainer.default_root_dir) / "stopped.ckpt")
            self.trainer.should_stop = True
        return self.weight * 0

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=folder,
        strategy=SingleDeviceStrategy(torch.device("cpu")),
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    whole, first, second = Noted(), Noted(stop=6), Noted()
    trainer(tmp_path).fit(whole, images_data())
    trainer(tmp_path).fit(first, images_data())
    trainer(tmp_path).fit(second, images_data(), ckpt_path=tmp_path / "stopped.ckpt")
    assert (len(whole.seen), len(second.seen)) == (12, 6)
    for left, right in zip([*first.seen[:6], *second.seen], whole.seen, strict=True):
        assert_same(left, right)


def test_a_batch_crosses_processes_and_is_saved_by_name() -> None:
    batch = images_data().batches(0)[0]
    crossed = pickle.loads(ForkingPickler.dumps(batch))
    assert_same(crossed, batch)
    assert {name: tuple(value.shape) for name, value in tensors_of(batch).items()} == {
        **{"views": (2, 5, 3, 6, 6), "labels": (5,), "owners": (5,)}
    }
    half = batch.mapped(lambda tensor: tensor[:1])
    assert (len(half.views), len(half), len(half.owners)) == (1, 1, 1)


def test_messages_name_rows_or_files(tmp_path: Path) -> None:
    batches = images_data().batches(0)
    assert batches.sequence(1, 4) == 4
    train, val = read("folders", str(write_folders(tmp_path)))
    data = ImageData(train, val, VIEWS, size=6, batch_size=3)
    assert data.batches(0).sequence(0, 4) == "dog/1.png"
    # Images of many sizes make views of one.
    assert tuple(data.batches(0)[1].views.shape) == (2, 3, 3, 6, 6)
    assert tuple(next(iter(data.val_dataloader())).views.shape) == (1, 2, 3, 6, 6)
    (tmp_path / "train" / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train/cat/0.png is no image"):
        [data.batches(0)[step] for step in range(2)]


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match=r"batch_size=24: .* there are 23; give 2 to 23"):
        images_data(batch_size=24)
    with pytest.raises(ValueError, match=r"batch_size=1: "):
        images_data(batch_size=1)
    with pytest.raises(ValueError, match=r"batch of 5 process\(es\) .* give 2 to 4"):
        images_data().batches(0, 0, 5)
    data = images_data()
    data.processes = lambda: {"rank": 0, "world": 12}  # type: ignore
    with pytest.raises(ValueError, match=r"11 validation images cannot be shared by 12 processes"):
        data.val_dataloader()
