"""Shares of rare, missing and clipped values of test splits that leave the training data's range.

python benchmarks/drift.py data/flights data/physionet2012 data/movielens

A test split is a part of the same data, so that each share outside is a false alarm. Of flights and
MovieLens it is a random one, of PhysioNet the other of its two sets.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from grap_seq.data.sequences import Sequences
from grap_seq.evaluation.usual import stored, usual
from grap_seq.prep.drift import Drift
from grap_seq.prep.folder.state import State
from grap_seq.prep.shares import Counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="prepared folders")
    shares = outside = 0
    for folder in parser.parse_args().folders:
        state = State.load(folder)
        train, val, test = (Sequences(folder, split) for split in ("train", "val", "test"))
        start = time.process_time()
        training = stored(usual(train, val, state))
        seconds = time.process_time() - start
        found = Drift(Counter(state).count(test.batches), training, state)
        shares, outside = shares + len(found.counts), outside + len(found.outside)
        print(
            f"{state.spec.name}: {len(found.outside)} of {len(found.counts)} outside"
            f" {found.outside or ''}; training counted in {seconds:.2f} CPU s"
            f" ({train.lengths.sum():,} events)"
        )
    print(f"{outside} of {shares} shares outside")


if __name__ == "__main__":
    main()
