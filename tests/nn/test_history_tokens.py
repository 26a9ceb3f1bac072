"""Places and masks of history tokens against the rule, written out token by token."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grap_seq.nn.history_tokens import Placement, Selection, draw_positions, insert


def test_the_picture_of_the_docstring() -> None:
    history = insert(torch.tensor([1, 3]), 5, "last")
    assert history.source.tolist() == [0, 1, 1, 2, 3, 3, 4]
    assert history.special.tolist() == [False, False, True, False, False, True, False]
    assert history.chosen.tolist() == [-1, -1, -1, 2, 2, -1, 5]
    assert history.mask.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],  # e0
        [1, 1, 0, 0, 0, 0, 0],  # e1
        [1, 1, 1, 0, 0, 0, 0],  # H1: all events before it and itself
        [0, 0, 1, 1, 0, 0, 0],  # e2 sees H1 and itself
        [0, 0, 1, 1, 1, 0, 0],  # e3
        [1, 1, 0, 1, 1, 1, 0],  # H2 never sees H1
        [0, 0, 0, 0, 0, 1, 1],  # e4 sees H2 and itself
    ]


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.just(n), st.lists(st.integers(0, n - 1), min_size=1, unique=True).map(sorted)
        )
    ),
    st.sampled_from(["random", "last", "none"]),
    st.integers(0, 10**6),
)
def test_the_mask_is_the_rule(
    drawn: tuple[int, list[int]], selection: Selection, seed: int
) -> None:
    tokens, after = drawn
    torch.manual_seed(seed)
    history = insert(torch.tensor(after), tokens, selection)

    # The row as a list of (kind, number), built the slow way.
    row: list[tuple[str, int]] = []
    for event in range(tokens):
        row.append(("event", event))
        if event in after:
            row.append(("history", after.index(event)))
    assert history.source.tolist() == [n if kind == "event" else after[n] for kind, n in row]
    assert history.special.tolist() == [kind == "history" for kind, _ in row]

    mask = history.mask
    for i, (kind, number) in enumerate(row):
        earlier = [j for j in range(i) if row[j][0] == "history"]
        if kind == "history":
            allowed = {j for j in range(i) if row[j][0] == "event"} | {i}
        else:
            chosen = int(history.chosen[i])
            assert chosen == -1 or chosen in earlier
            if selection == "none":
                assert chosen == -1
            if selection == "last":
                assert chosen == (earlier[-1] if earlier else -1)
            allowed = {j for j in range(chosen + 1, i + 1) if row[j][0] == "event"}
            allowed |= {chosen} - {-1}
        assert set(mask[i].nonzero().flatten().tolist()) == allowed, (row, i, number)


def test_random_choices_are_rounded_uniform_numbers() -> None:
    """With three history tokens before it, an event sees none, 1, 2, 3 in 1/6, 1/3, 1/3, 1/6."""
    torch.manual_seed(0)
    after = torch.tensor([0, 1, 2])
    seen = Counter(int(insert(after, 5, "random").chosen[-1]) for _ in range(3000))
    shares = {key: count / 3000 for key, count in seen.items()}
    wanted = {-1: 1 / 6, 1: 1 / 3, 3: 1 / 3, 5: 1 / 6}
    # Three standard deviations.
    assert shares == pytest.approx(wanted, abs=0.026)


@pytest.mark.parametrize(
    ("placement", "lowest"), [("uniform", 0), ("bias_end", 20), ("bias_end_relaxed", 12)]
)
def test_places(placement: Placement, lowest: int) -> None:
    """Lengths 10 and 40: half of the longest is 20, half of the mean 12.5."""
    torch.manual_seed(0)
    lengths = torch.tensor([10, 40])
    drawn = [draw_positions(lengths, 0.1, placement) for _ in range(300)]
    assert all(len(places) == 4 for places in drawn)
    for places in drawn:
        assert places.tolist() == sorted(set(places.tolist()))
    seen = torch.cat(drawn)
    assert seen.min().item() == lowest
    assert seen.max().item() == 39


def test_at_least_one_and_at_most_all() -> None:
    assert len(draw_positions(torch.tensor([3]), 0.0, "uniform")) == 1
    assert draw_positions(torch.tensor([3]), 1.0, "uniform").tolist() == [0, 1, 2]
    assert draw_positions(torch.tensor([1]), 1.0, "bias_end").tolist() == [0]
    assert len(draw_positions(torch.tensor([4]), 1.0, "bias_end")) == 2
