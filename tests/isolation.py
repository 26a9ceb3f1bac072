"""What a test may change for its whole process is put back, so that their order does not matter."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from grap_seq import classes


@contextmanager
def isolated() -> Iterator[None]:
    """Start with fixed random numbers; at the end restore what belongs to the process.

    That is the environment, the folder, the classes that may be loaded, NumPy's error handling, and
    PyTorch's threads, precision, default dtype and gradient mode. Filters of warnings are pytest's
    to restore.
    """
    environment, folder, errors = dict(os.environ), os.getcwd(), np.geterr()
    allowed = set(classes.allowed)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for libraries that use the global generator
    with _torch():
        yield
    for name in os.environ.keys() - environment.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(folder)
    np.seterr(**errors)
    classes.allowed.intersection_update(allowed)


@contextmanager
def _torch() -> Iterator[None]:
    # Tests that do without it should not wait for its import.
    if "torch" not in sys.modules:
        yield
        return
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    precision, grad = torch.get_float32_matmul_precision(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    tf32 = torch.backends.cudnn.allow_tf32
    torch.manual_seed(0)
    yield
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_float32_matmul_precision(precision)
    torch.set_grad_enabled(grad)
    torch.use_deterministic_algorithms(deterministic)
