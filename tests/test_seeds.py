"""Seeds of parts of a run."""

from __future__ import annotations

import torch

from grap_seq.seeds import derived_seed


def test_every_number_counts_for_the_generator() -> None:
    """Also those that 32 bits of a number put side by side would have lost."""
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (2**31, 0), (0, 2**31)]
    seeds = {derived_seed(*place) for place in places}
    drawn = {torch.rand(1, generator=torch.Generator().manual_seed(s)).item() for s in seeds}
    assert len(seeds) == len(drawn) == len(places)
    assert derived_seed(3, 4) == derived_seed(3, 4)
    assert max(seeds) < 2**32
