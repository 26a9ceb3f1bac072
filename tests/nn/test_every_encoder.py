"""What every encoder promises: causal, blind to padding and neighbours, all parameters used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ptls.data_load.padded_batch import PaddedBatch
from torch import Tensor, nn

from grap_seq.layout import Layout
from grap_seq.nn.encoder import rows_of
from grap_seq.nn.gru import GRUEncoder
from grap_seq.nn.ht_transformer import HTTransformerEncoder
from grap_seq.nn.tokens import Tokens
from grap_seq.nn.transformer import TransformerEncoder
from tests.weighting.oracle import backward

SMALL: dict[str, Any] = {"layers": 2, "heads": 2, "feedforward": 16}
ENCODERS: dict[str, Any] = {
    "gru": lambda: GRUEncoder(5, 8),
    "transformer": lambda: TransformerEncoder(5, 8, **SMALL),
    "rotary": lambda: TransformerEncoder(5, 8, rotary=True, **SMALL),
    "end-token": lambda: TransformerEncoder(5, 8, end_token=True, **SMALL),
    "ht": lambda: HTTransformerEncoder(5, 8, **SMALL),
    "ht-last-layer": lambda: HTTransformerEncoder(5, 8, embed_layers="last", **SMALL),
}
every_encoder = pytest.mark.parametrize("name", list(ENCODERS))


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    encoder: nn.Module = ENCODERS[name]()
    return encoder


def rows(seed: int, lengths: list[int]) -> tuple[PaddedBatch, Tensor]:
    """Vectors and times, with garbage where padded."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    vectors = torch.randn(*shape, 5, generator=generator, dtype=torch.float64)
    times = 100 * torch.rand(shape, generator=generator, dtype=torch.float64).cumsum(1)
    return PaddedBatch(vectors, torch.tensor(lengths)), times


def states_of(encoder: nn.Module, batch: PaddedBatch, times: Tensor) -> Tensor:
    timed = getattr(encoder, "needs_times", False)
    output: PaddedBatch = encoder(batch, times) if timed else encoder(batch)
    assert output.seq_lens is batch.seq_lens
    assert output.payload.shape == (*batch.payload.shape[:2], encoder.embedding_size)
    states: Tensor = output.payload
    return states


def last_of(encoder: nn.Module, batch: PaddedBatch, times: Tensor) -> Tensor:
    layout, cells = rows_of(batch)
    vectors, moments = batch.payload.flatten(0, 1)[cells], times.flatten()[cells]
    summarise: Any = encoder.summarise
    states, last = summarise(vectors, layout, moments)
    if not encoder.training:
        torch.testing.assert_close(
            states, states_of(encoder, batch, times).flatten(0, 1)[cells], rtol=0, atol=1e-6
        )
    result: Tensor = last
    return result


@every_encoder
@pytest.mark.parametrize("changed", [0, 3, 9])
@pytest.mark.parametrize("what", ["vector", "time"])
def test_an_event_changes_no_state_before_it(name: str, changed: int, what: str) -> None:
    encoder = make(name).double().eval()
    batch, times = rows(1, [10, 10])
    vectors, moved = batch.payload.clone(), times.clone()
    if what == "vector":
        vectors[:, changed] += 1e-3
    else:
        moved[:, changed] += 1e-3
    before = states_of(encoder, batch, times)
    after = states_of(encoder, PaddedBatch(vectors, batch.seq_lens), moved)
    # Times count from the first event: moving that one moves all.
    if what == "vector" or changed > 0:
        assert torch.equal(before[:, :changed], after[:, :changed])
    if what == "vector" or (name != "gru" and changed > 0):
        assert (before[:, changed] != after[:, changed]).any(-1).all()


@pytest.mark.parametrize("selection", ["random", "last", "none"])
@pytest.mark.parametrize("changed", [1, 5, 11])
def test_history_tokens_carry_nothing_backwards(selection: str, changed: int) -> None:
    torch.manual_seed(0)
    encoder = HTTransformerEncoder(
        5,
        8,
        apply_probability=1,
        frequency=0.4,
        selection=selection,  # type: ignore[arg-type]
        dropout=0,
        **SMALL,
    ).double()
    batch, times = rows(1, [12, 12])
    vectors = batch.payload.clone()
    vectors[:, changed] += 1e-3
    found = []
    for payload in (batch.payload, vectors):
        torch.manual_seed(7)
        found.append(states_of(encoder, PaddedBatch(payload, batch.seq_lens), times))
    assert torch.equal(found[0][:, :changed], found[1][:, :changed])
    # With "last" or "random" an event may reach later ones through a history token alone.
    assert (found[0][:, changed:] != found[1][:, changed:]).any(-1).all()


@every_encoder
def test_padding_and_neighbours_change_nothing(name: str) -> None:
    encoder = make(name).eval()
    lengths = [7, 2, 12, 1]
    batch, times = rows(2, lengths)
    together = PaddedBatch(batch.payload.float(), batch.seq_lens)
    states, last = states_of(encoder, together, times), last_of(encoder, together, times)
    for row, length in enumerate(lengths):
        alone = PaddedBatch(batch.payload[row : row + 1, :length].float(), torch.tensor([length]))
        moments = times[row : row + 1, :length]
        found = states_of(encoder, alone, moments)[0]
        torch.testing.assert_close(found, states[row, :length], rtol=0, atol=1e-6)
        torch.testing.assert_close(
            last_of(encoder, alone, moments)[0], last[row], rtol=0, atol=2e-6
        )


@every_encoder
def test_only_differences_of_times_count(name: str) -> None:
    encoder = make(name).double().eval()
    batch, times = rows(3, [6, 4])
    shifted = states_of(encoder, batch, times + 20_000)
    torch.testing.assert_close(shifted, states_of(encoder, batch, times), rtol=0, atol=1e-6)


@every_encoder
def test_training_uses_every_parameter_and_evaluation_is_deterministic(name: str) -> None:
    encoder = make(name).double()
    batch, times = rows(4, [9, 5])
    for _ in range(3):
        encoder.zero_grad()
        backward(states_of(encoder, batch, times).square().sum())
        for key, parameter in encoder.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
    encoder.eval()
    assert torch.equal(states_of(encoder, batch, times), states_of(encoder, batch, times))


@every_encoder
def test_bf16_autocast_stays_close(name: str) -> None:
    encoder = make(name).eval()
    batch, times = rows(5, [20, 11])
    half = PaddedBatch(batch.payload.float(), batch.seq_lens)
    exact = states_of(encoder, half, times)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = states_of(encoder, half, times)
    # 8 bits, through a handful of layers.
    assert (rounded.float() - exact).norm() < 0.03 * exact.norm()


def test_the_transformer_is_torchs() -> None:
    """Same parameters in `nn.TransformerEncoderLayer`, start token and time encoding by hand."""
    encoder = make("transformer").double().eval()
    assert isinstance(encoder, TransformerEncoder)
    batch, times = rows(6, [8, 8])
    since = torch.cat([torch.zeros(2, 1).double(), times - times[:, :1]], dim=1)
    start = encoder.start.expand(2, 1, 8)
    x = torch.cat([start, encoder.projection(batch.payload)], dim=1)
    x = x + encoder.time_encoding(since).double()
    mask = nn.Transformer.generate_square_subsequent_mask(9, dtype=torch.float64)
    for layer in encoder.layers:
        ours: Any = layer
        theirs = nn.TransformerEncoderLayer(
            8, 2, 16, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
        ).eval()
        attention: Any = theirs.self_attn
        pairs: dict[str, Any] = {
            "self_attn.in_proj": ours.queries_keys_values,
            "self_attn.out_proj": ours.output,
            "linear1": ours.feedforward[0],
            "linear2": ours.feedforward[3],
            "norm1": ours.attention_norm,
            "norm2": ours.feedforward_norm,
        }
        state: dict[str, Tensor] = {}
        for key, part in pairs.items():
            joint = "_" if key.endswith("in_proj") else "."
            state |= {f"{key}{joint}weight": part.weight, f"{key}{joint}bias": part.bias}
        theirs.load_state_dict(state)
        assert attention.num_heads == 2
        x = theirs(x, src_mask=mask)
    torch.testing.assert_close(states_of(encoder, batch, times), x[:, 1:])


@pytest.mark.parametrize("name", ["ht", "ht-last-layer", "end-token"])
def test_the_embedding_is_a_token_at_the_end(name: str) -> None:
    """Against a sequence with one more event, which is that token."""
    encoder: Any = make(name).double().eval()
    batch, times = rows(7, [6, 3])
    last = last_of(encoder, batch, times)
    projection = encoder.projection
    for row, length in enumerate([6, 3]):
        vectors, moments = batch.payload[row, :length], times[row, :length]
        # An event whose projection is the token, at the time of the last event.
        projected = torch.cat([projection(vectors), encoder.end[None]])
        encoder.projection = nn.Identity()
        moments = torch.cat([moments, moments[-1:]])
        outputs = encoder.run(projected, moments, Tokens.plain(Layout([length + 1])))
        encoder.projection = projection
        outputs = [output[-1] for output in outputs]
        wanted = torch.stack(outputs).sum(0) if name == "ht" else outputs[-1]
        torch.testing.assert_close(last[row], wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "the heads must divide the width"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"attention_dropout": -0.1}, "attention_dropout=-0.1"),
        ({"frequency": 1.5}, r"frequency=1.5: it must lie in \[0, 1\]"),
        ({"apply_probability": -0.1}, "apply_probability=-0.1"),
        ({"placement": "end"}, "placement=end: choose one of uniform, bias_end"),
        ({"selection": "first"}, "selection=first: choose one of random, last, none"),
        ({"embed_layers": "first"}, "embed_layers=first"),
        ({"min_time_step": 5, "max_duration": 5}, "0 < min_time_step < max_duration"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HTTransformerEncoder(5, 8, **options)
