"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.isolation import isolated

if TYPE_CHECKING:
    from tests.hub.fake import Hub

# One slow example on a busy machine is no failure; the same examples in every run are no surprise.
settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """Only the order is random: every test has the same seeds, see `tests.isolation`.

    Reseeding by pytest-randomly fails for large seeds in thinc, which ptls installs.
    """
    config.option.randomly_reset_seed = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: with two processes, none of them is left over at the end.

    The sort is stable, so within both halves the order stays the random one of pytest-randomly.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Every test, with the fixtures made for it, leaves the process as it was."""
    del item
    with isolated():
        return (yield)


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Path]:
    """Factory of prepared folders: `prepared(train=[5, 3, 8], val=[4, 4], parts=2, ...)`.

    Splits are given by the lengths of their sequences; further options are those of
    `tests.data.toy.write_prepared`, and `seed`.
    """
    # Imported here: tests that need no data should not wait for it.
    from tests.data.toy import random_rows, write_prepared

    def make(
        train: Sequence[int] = (5, 3, 8),
        val: Sequence[int] = (4, 6),
        test: Sequence[int] = (4, 6),
        *,
        name: str = "toy",
        seed: int = 0,
        **options: Any,
    ) -> Path:
        splits = {}
        first = 0
        for split, lengths in (("train", train), ("val", val), ("test", test)):
            splits[split] = random_rows(lengths, seed, first)
            first += len(lengths)
        return write_prepared(tmp_path / name, splits, **options)

    return make


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A local Hugging Face hub with one repository."""
    from tests.hub.fake import serving

    with serving(monkeypatch, tmp_path / "hub-cache") as server:
        yield server


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder with 80 customers, through `prepare` itself."""
    from grap_seq.prep.prepare import prepare
    from tests.shop import write_shop

    folder = tmp_path_factory.mktemp("shop")
    prepare("table", folder / "prepared", source=write_shop(folder))
    return folder / "prepared"


@pytest.fixture(scope="session")
def shop_run(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on `shop` with its embeddings, trained for one epoch; not to be changed."""
    from grap_seq import commands

    run = tmp_path_factory.mktemp("shop_run") / "run"
    small = ["epochs=1", "dataset.hidden=8", "event_width=8", "select=last"]
    commands.pretrain([f"prepared={shop}", f"run={run}", *small])
    commands.embed([f"run={run}"])
    return run


@pytest.fixture(scope="session")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that predict, of `tests.evaluation.two_labels`; their tests are in one xdist group."""
    from tests.evaluation.two_labels import train

    return train(tmp_path_factory.mktemp("predictor"))


@pytest.fixture
def forked_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that Lightning starts come from the server of `tests.processes`, where all is
    imported.

    What they are given is what fresh ones are, but for the environment, which is the server's.
    Fresh ones are stopped and killed in tests/training/test_processes.py.
    """
    from torch import multiprocessing

    from tests import processes

    monkeypatch.setattr(multiprocessing, "start_processes", processes.forked_ranks)
