"""Batches by number: batch `step` of epoch `epoch` can be built by itself, in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from itertools import repeat
from typing import Any, Protocol, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from grap_seq.batch import Batch
from grap_seq.data.collate import Crop, collate
from grap_seq.data.crops import CropPolicy
from grap_seq.data.order import batches, generator
from grap_seq.data.sequences import Sequences
from grap_seq.layout import MAX_PADDING, Lengths
from grap_seq.orphans import die_with_parent

# Batches among which the largest is sought.
PROMISING = 8

Item = TypeVar("Item", covariant=True)


class EpochBatches(Dataset[Batch]):
    """Training batches of one epoch.

    Sequences with fewer than two events have no next event and are left out.

    Args:
        sequences: a split.
        policy: how sequences are cut.
        batch_size: sequences in a batch of one process (each gives `policy.views` crops).
        seed: seed of the run.
        epoch: number of the epoch.
        max_padding: largest share of padded cells, for encoders that read rectangles.
        labelled: labelled sequences only. Of several labels a sequence, each counts by itself: its
            crop ends with the last event before it.
        rank: which part of every batch this is.
        world: number of parts, each for one process. Batches are those of one process with `world`
            times the batch size, whose sequences are dealt out.

    Raises:
        ValueError: fewer than two sequences have two events or more, or some batch has fewer
            sequences than parts.
    """

    def __init__(
        self,
        sequences: Sequences,
        policy: CropPolicy,
        batch_size: int,
        *,
        seed: int,
        epoch: int,
        max_padding: float = MAX_PADDING,
        labelled: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if max_padding > 1:
            raise ValueError(f"max_padding={max_padding}: give a share of padded cells in [0, 1]")
        lengths, wanted = sequences.lengths, sequences.labelled | (not labelled)
        self.examples = sequences.examples() if labelled and sequences.local is not None else None
        if self.examples is not None:
            lengths, wanted = self.examples.stops, np.ones(len(self.examples), bool)
        usable = np.flatnonzero((lengths >= 2) & wanted)
        if len(usable) < 2:
            kind = "labelled sequences" if labelled else "sequences"
            raise ValueError(
                f"{len(usable)} {kind} have two events or more; training needs at least two:"
                " check the id column, and that the split is not too small"
            )
        self.sequences, self.policy, self.lengths = sequences, policy, lengths
        self.batch_size = batch_size
        self.seed, self.epoch, self.max_padding = seed, epoch, max_padding
        chosen = batches(len(usable), batch_size * world, seed, epoch)
        self.batches = [usable[rows] for rows in chosen]
        self.rank, self.world = rank, world
        smallest = min(len(batch) for batch in self.batches)
        if smallest < world:
            raise ValueError(
                f"{len(usable)} sequences make a batch of {smallest}, which cannot be shared by"
                f" {world} processes; raise batch_size, or train with one process (trainer=cpu or"
                " gpu)"
            )

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> Batch:
        if step >= len(self):
            raise IndexError(step)
        batch = collate(self.sequences, self.crops(step), self.max_padding)
        return batch if self.world == 1 else replace(batch, view_owners=self._owners(step, batch))

    def crops(self, step: int) -> list[Crop]:
        """What a batch is made of; nothing is read for it."""
        return [
            crop
            for owner, number in list(enumerate(self.batches[step]))[self.rank :: self.world]
            for crop in self._crops(int(number), owner)
        ]

    def sizes(self, step: int) -> Lengths:
        """Events of every row of a batch, shape (R,)."""
        return np.array([crop.stop - crop.start for crop in self.crops(step)], np.int64)

    def largest(self) -> int:
        """A batch with the most events, as far as the lengths of sequences say it.

        Windows are drawn for the most promising batches alone: a draw takes 20 us a sequence.
        """
        longest = np.minimum(self.lengths, self.policy.max_length)
        order = np.argsort([-longest[rows].sum() for rows in self.batches], kind="stable")
        first: list[int] = order[:PROMISING].tolist()
        return max(first, key=lambda step: int(self.sizes(step).sum()))

    def cut_by(self, policy: CropPolicy) -> EpochBatches:
        """The same batches, with sequences cut by another policy."""
        other = copy(self)
        other.policy = policy
        return other

    def sequence(self, step: int, owner: int) -> Any:
        """Id of the sequence that `owner` numbers in a batch."""
        number = int(self.batches[step][owner])
        row = number if self.examples is None else int(self.examples.rows[number])
        return self.sequences.ids(row, row + 1)[0].as_py()

    def _owners(self, step: int, batch: Batch) -> tuple[Lengths, ...]:
        """Of every process's views: each sequence has as many as another."""
        owners = np.arange(len(self.batches[step]))
        parts = [owners[rank :: self.world] for rank in range(self.world)]
        each = len(batch.views) // len(parts[self.rank])
        found = tuple(np.repeat(part, each) for part in parts)
        assert np.array_equal(found[self.rank], batch.view_owners[0])
        return found

    def _crops(self, number: int, owner: int) -> list[Crop]:
        chosen = self.examples
        length = int((self.sequences.lengths if chosen is None else chosen.stops)[number])
        drawn = self.policy.draw(length, self.seed, self.epoch, number)
        if chosen is None:
            views = self.policy.views
            shares = generator(self.seed, self.epoch, number, purpose=3).random(len(drawn))
            return [
                Crop(number, start, stop, owner, window=index == views, share=share)
                for index, ((start, stop), share) in enumerate(zip(drawn, shares, strict=True))
            ]
        row, label, until = (
            values[number].item() for values in (chosen.rows, chosen.labels, chosen.until)
        )
        return [
            Crop(row, length - stop + start, length, owner, label, until=until)
            for start, stop in drawn
        ]


class Numbered(Protocol[Item]):
    """Batches of one epoch by number."""

    epoch: int

    def __len__(self) -> int: ...

    def __getitem__(self, step: int) -> Item: ...


class Epochs(Dataset[Item]):
    """Batches of any epoch by epoch and step, so that workers can stay when an epoch ends.

    Args:
        make: the batches of an epoch, from its number.
    """

    def __init__(self, make: Callable[[int], Numbered[Item]]) -> None:
        self.make = make
        self._last: Numbered[Item] | None = None

    def of(self, epoch: int) -> Numbered[Item]:
        """Those of an epoch; the last one that was asked for is kept."""
        if self._last is None or self._last.epoch != epoch:
            self._last = self.make(epoch)
        return self._last

    def __getitem__(self, place: tuple[int, int]) -> Item:
        epoch, step = place
        return self.of(epoch)[step]


class Places(Sampler[tuple[int, int]]):
    """Epoch and step of an epoch's batches; of the first epoch they may begin at a later step.

    Args:
        epoch: the epoch to begin with; `set_epoch` is how Lightning says that another one begins.
        batches: in an epoch; the length is that of a whole one, up to which Lightning counts on.
        first: the step to begin that epoch with.
    """

    def __init__(self, epoch: int, batches: int, first: int = 0) -> None:
        self.epoch, self.batches = epoch, batches
        self._begun, self._first = epoch, first

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is over another epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first = self._first if self.epoch == self._begun else 0
        return zip(repeat(self.epoch), range(first, self.batches), strict=False)


def loader(
    dataset: Dataset[Item],
    workers: int = 0,
    places: Places | None = None,
    *,
    pinned: bool = False,
) -> DataLoader[Item]:
    """A DataLoader over whole batches, in order.

    Workers stay from epoch to epoch where batches are those of many epochs. Those of one epoch go
    when it ends: waiting for a validation they would take memory.

    Args:
        dataset: the batches.
        workers: processes that make them; none: this one does.
        places: which of them, of `Epochs`.
        pinned: put batches into memory that a GPU can read by itself.
    """
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=places,
        num_workers=workers,
        persistent_workers=workers > 0 and isinstance(dataset, Epochs),
        pin_memory=pinned,
        worker_init_fn=_begin,
    )


def _begin(worker: int) -> None:
    del worker
    die_with_parent()
