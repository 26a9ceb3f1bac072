"""Seeds of parts of a run: a pure function of the run's seed and where the part stands."""

from __future__ import annotations

import numpy as np


def derived_seed(*numbers: int) -> int:
    """A seed below 2^32 from several numbers below 2^32, all of which count.

    PyTorch's CPU generator looks at the lowest 32 bits of a seed alone, so numbers cannot simply
    be put side by side in 64.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
