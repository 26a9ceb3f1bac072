"""Where history tokens stand, who learns from them, and that an embedding is what was trained."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grap_seq.layout import Layout
from grap_seq.nn.encoder import Encoded
from grap_seq.nn.ht_transformer import HTTransformerEncoder
from tests.weighting.oracle import backward

SIZES = [9, 4, 12, 1]
LAYOUT = Layout(SIZES)
SMALL: dict[str, Any] = {"layers": 3, "heads": 2, "feedforward": 16, "dropout": 0.0}


def encoder_of(**options: Any) -> HTTransformerEncoder:
    torch.manual_seed(0)
    return HTTransformerEncoder(5, 8, **SMALL, **{"apply_probability": 1.0, **options})


def inputs(seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    times = [torch.rand(size, generator=generator).double().cumsum(0) for size in SIZES]
    return torch.randn(sum(SIZES), 5, generator=generator), torch.cat(times)


def encoded(encoder: HTTransformerEncoder, seed: int = 0) -> Encoded:
    vectors, times = inputs()
    torch.manual_seed(seed)
    return encoder.encode(vectors, LAYOUT, times)


def rows_of_tokens(found: Encoded) -> list[int]:
    assert found.extra_row is not None
    return torch.bincount(found.extra_row, minlength=len(SIZES)).tolist()


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"placement": "full"}, SIZES),
        ({"placement": "last"}, [1, 1, 1, 1]),
        # Behind the start token, the third and the ninth event.
        ({"placement": "fixed", "positions": [0, 3, 9]}, [3, 2, 3, 1]),
        ({"placement": "fixed", "positions": [40]}, [0, 0, 0, 0]),
    ],
)
def test_strategies(options: dict[str, Any], counts: list[int]) -> None:
    assert rows_of_tokens(encoded(encoder_of(**options))) == counts


@pytest.mark.parametrize("placement", ["uniform", "bias_end", "bias_end_relaxed"])
def test_random_positions_are_those_of_one_draw_for_the_whole_batch(placement: Any) -> None:
    encoder, several = encoder_of(placement=placement, frequency=0.3), set()
    for seed in range(20):
        found = encoded(encoder, seed)
        assert found.extra is not None
        several.add(tuple(rows_of_tokens(found)))
        # Of 13 tokens of the longest row, and as many as fit for the others.
        counts = rows_of_tokens(found)
        assert counts[2] == round(0.3 * 13) == max(counts)
        assert sorted(counts, key=lambda c: c) == [counts[i] for i in (3, 1, 0, 2)]
    assert len(several) > 1


@pytest.mark.parametrize("placement", ["full", "last", "fixed", "uniform"])
def test_the_last_token_of_a_row_is_what_ends_says(placement: Any) -> None:
    found = encoded(encoder_of(placement=placement, positions=[9], frequency=0.3))
    assert found.extra is not None
    assert found.extra_row is not None
    whole = found.all
    assert whole.shape == (sum(SIZES) + len(found.extra), 8)
    for row, end in enumerate(found.ends.tolist()):
        if end < sum(SIZES):
            assert end == int(LAYOUT.ends[row])
        else:
            number = end - sum(SIZES)
            assert found.extra_row[number] == row
            # The last of its row.
            assert (found.extra_row[number + 1 :] != row).all()
    behind = [end >= sum(SIZES) for end in found.ends.tolist()]
    if placement in ("full", "last"):
        assert all(behind)
    if placement == "fixed":
        assert behind == [True, False, False, False]


def test_no_tokens_and_a_coin_for_the_batch() -> None:
    assert encoded(encoder_of(placement="none")).extra is None
    encoder = encoder_of(apply_probability=0.5)
    tosses = [encoded(encoder, seed).extra is not None for seed in range(200)]
    # Four standard deviations.
    assert sum(tosses) / 200 == pytest.approx(0.5, abs=0.15)


def test_without_seeing_them_events_are_those_of_the_plain_transformer() -> None:
    plain = encoded(encoder_of(placement="none")).states
    for options in ({"placement": "last"}, {"placement": "full", "selection": "none"}):
        states = encoded(encoder_of(**options)).states
        torch.testing.assert_close(states, plain, rtol=1e-5, atol=1e-6)
    seen = encoded(encoder_of(placement="full", selection="last")).states
    assert (seen - plain).abs().max() > 1e-3


@pytest.mark.parametrize("embed_layers", ["all", "last"])
def test_losses_see_the_embedding_itself(embed_layers: Any) -> None:
    """In evaluation, whose losses choose an epoch, a token stands behind every row."""
    encoder = encoder_of(embed_layers=embed_layers).eval()
    found = encoded(encoder)
    vectors, times = inputs()
    states, embeddings = encoder.summarise(vectors, LAYOUT, times)
    torch.testing.assert_close(found.all[found.ends], embeddings)
    torch.testing.assert_close(found.states, states)


def keep(outputs: list[Tensor], module: nn.Module, arguments: Any, output: Tensor) -> None:
    outputs.append(output)


@pytest.mark.parametrize("embed_layers", ["all", "last"])
def test_the_last_layers_output_at_history_tokens_is_trained(embed_layers: Any) -> None:
    """With losses on events alone its gradient is exactly zero."""
    for predict in ("all", "events"):
        encoder = encoder_of(predict=predict, embed_layers=embed_layers, placement="full")
        outputs: list[Tensor] = []
        for layer in encoder.layers:
            layer.register_forward_hook(partial(keep, outputs))
        found = encoded(encoder)
        for output in outputs:
            output.retain_grad()
        backward(found.all.square().sum())
        special = torch.ones(len(outputs[0]), dtype=torch.bool)
        # In `full` tokens run: start, then an event and a history token in turns.
        starts = torch.tensor([0, 19, 28, 53])
        special[starts] = False
        for start, size in zip(starts.tolist(), SIZES, strict=True):
            special[start + 1 : start + 2 * size : 2] = False
        assert special.sum() == sum(SIZES)
        norms = [float(o.grad[special].norm()) for o in outputs if o.grad is not None]
        assert len(norms) == 3
        assert min(norms[:-1]) > 0
        assert (norms[-1] > 0) == (predict == "all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predict": "some"}, "predict=some: choose one of events, all"),
        ({"placement": "fixed"}, r"placement=fixed positions=\[\]: give the tokens"),
        ({"placement": "fixed", "positions": [-1]}, r"positions=\[-1\]"),
        ({"positions": ["a"]}, r"positions=\['a'\]: give the tokens"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder_of(**options)
