"""Any Gramian weighting of the TorchJD library, by name.

Source: Quinton, Rey, "Jacobian Descent for Multi-Objective Optimization" (2024); every method's own
paper is named in its class there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grap_seq.names import nearest
from grap_seq.seeds import derived_seed
from grap_seq.weighting.gramian import GramianWeighting


def methods() -> dict[str, type[Any]]:
    """Classes by lower-case name: "alignedmtl", "upgrad", "cagrad", ..."""
    # Imported here: it takes as long as torch, and other weightings have no use for it.
    from torchjd import aggregation

    # The library's base class of weightings that take a Gram matrix has no public name.
    above = aggregation.MGDAWeighting.__mro__[1:]
    gramian = next(base for base in above if base is not aggregation.Weighting)
    classes = {}
    for name in aggregation.__all__:
        kind = getattr(aggregation, name)
        if name.endswith("Weighting") and isinstance(kind, type) and issubclass(kind, gramian):
            classes[name.removesuffix("Weighting").lower()] = kind
    return classes


class TorchJD(GramianWeighting):
    """Coefficients of a TorchJD weighting.

    Args:
        names: the K losses.
        method: the class without "Weighting", upper or lower case, with or without underscores:
            aligned_mtl, upgrad, cagrad, imtl_g, ...
        options: arguments of that class, such as {"c": 0.5} for cagrad.
        seed: of methods that draw random numbers.

    Raises:
        ValueError: no such method, options that it does not take, or a package that it needs.
    """

    def __init__(
        self,
        names: Sequence[str],
        method: str = "aligned_mtl",
        *,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(names)
        choices = methods()
        kind = choices.get(method.replace("_", "").lower())
        if kind is None:
            raise ValueError(f"method={method}: {nearest(method, choices)}, as TorchJD has them")
        try:
            self.method = kind(**(options or {}))
        except ImportError as error:
            raise ValueError(
                f"{method} needs more packages: pip install 'grap-seq[torchjd]'"
            ) from error
        except TypeError as error:
            raise ValueError(f"{method} does not take the options {options}: {error}") from error
        self.seed = seed

    def solve(self, gram: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.seed, self.steps))
            weights: Tensor = self.method(gram)
        return weights
