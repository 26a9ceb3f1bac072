"""Bounds of oneDNN's caches.

In the precisions bf16-mixed and medium a CPU's matrix products are oneDNN's, which makes a program
for every shape and keeps it, some 0.7 MB each. PyTorch has a cache of its own in front, which keeps
those programs too. Training batches differ in shape, so that both caches fill up. Environment
variables alone bound them, and are read once.
https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html
"""

from __future__ import annotations

import os

# Both are 1024 otherwise. A step of a GRU has some 300 shapes that come back in the next one: these
# oneDNN should keep. PyTorch's cache only saves the way to oneDNN's.
BOUNDS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512", "LRU_CACHE_CAPACITY": "16"}


def bound_caches() -> None:
    """Set the bounds that the environment leaves open, for this process and those it starts.

    Call it before torch is imported.
    """
    for name, bound in BOUNDS.items():
        os.environ.setdefault(name, bound)
