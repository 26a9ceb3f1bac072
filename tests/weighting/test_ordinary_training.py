"""Whatever PyTorch training offers works with the nodes as it does without them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from grap_seq.weighting import GraP, HeadBank
from tests.weighting.oracle import Problem, ascent, assert_same, backward, expected, rescaled

NAMES = ("a", "b", "c")
Batch = tuple[Tensor, Tensor]  # inputs (N, 6), targets (4, N, 2)


class Net(nn.Module):
    """Encoder, fused heads (or views with ordinary heads) and second layers."""

    def __init__(self, fused: bool = True, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 16))
        self.weighting = GraP(NAMES, **options)
        self.bank = HeadBank(self.weighting, 16, 8)
        self.seconds = nn.ModuleList(nn.Linear(8, 2) for _ in range(4))
        self.fused = fused

    def hidden(self, z: Tensor) -> Iterable[Tensor]:
        if self.fused:
            hidden: dict[str, Tensor] = self.bank(z)
            return hidden.values()
        views: Iterable[Tensor] = self.weighting(z).values()
        first = zip(views, self.bank.weight, self.bank.bias, strict=True)
        return [nn.functional.linear(view, weight, bias) for view, weight, bias in first]

    def forward(self, batch: Batch) -> Tensor:
        x, targets = batch
        hidden = self.hidden(self.encoder(x))
        losses = [
            (second(torch.tanh(h)).float() - target).square().mean()
            for h, second, target in zip(hidden, self.seconds, targets, strict=True)
        ]
        return torch.stack(losses).sum()

    def optimizer(self, lr: float = 1e-2) -> torch.optim.Adam:
        groups = [{"params": self.parameters()}, self.weighting.parameter_group(0.05)]
        return torch.optim.Adam(groups, lr=lr)

    def weight_gradient(self) -> Tensor:
        assert self.weighting.weights.grad is not None
        return self.weighting.weights.grad

    def encoder_gradient(self) -> Tensor:
        gradients = [p.grad for p in self.encoder.parameters()]
        return torch.cat([g.flatten() for g in gradients if g is not None])


def batch(seed: int, positions: int = 40) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(positions, 6, generator=generator)
    noise = torch.randn(4, positions, 2, generator=generator)
    return x, noise + torch.sin(x[:, :2] * torch.arange(1, 5)[:, None, None])


def update(net: Net, optimizer: torch.optim.Optimizer, seed: int) -> None:
    optimizer.zero_grad()
    backward(net(batch(seed)))
    optimizer.step()


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_accumulated_gradients_are_sums_over_micro_batches() -> None:
    first = Problem.random(seed=0, positions=9)
    second = Problem.random(seed=1, positions=4)
    second.encoder, second.second = first.encoder, first.second
    second.weight, second.bias = first.weight, first.bias
    weighting = GraP(first.names).double()
    weighting.weights.data = torch.tensor([0.5, 0.75, 1.75]).double()
    bank = HeadBank(weighting, 5, 4).double()
    bank.weight.data.copy_(first.weight.data)
    bank.bias.data.copy_(first.bias.data)
    wanted: list[dict[str, Tensor]] = []
    updates = []
    for problem in (first, second):
        backward(problem.total(bank(problem.encode())))
        gradients, down = problem.stacked()
        weights = weighting.weights.detach()
        wanted.append(expected(problem, rescaled(weights, gradients)))
        updates.append(-ascent(weights, gradients, down, "gradnorm"))
    assert bank.weight.grad is not None
    assert bank.bias.grad is not None
    found = {**first.gradients(), "weight": bank.weight.grad, "bias": bank.bias.grad}
    assert_same(found, {key: wanted[0][key] + wanted[1][key] for key in found}, 1e-10)
    assert weighting.weights.grad is not None
    torch.testing.assert_close(weighting.weights.grad, updates[0] + updates[1])


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [2.5, 0.5, 0.0]])
def test_a_clipped_step_moves_as_far_as_one_with_equal_weights(weights: list[float]) -> None:
    """The composite has the norm of the plain sum, so a clip threshold keeps its meaning."""
    problem = Problem.random()
    gradients, _ = problem.stacked()
    composite = rescaled(torch.tensor(weights).double(), gradients)
    assert composite.norm().item() == pytest.approx(gradients.sum(0).norm().item())
    parts = expected(problem, composite)
    norm = torch.cat([part.flatten() for part in parts.values()]).norm()
    limit = 0.5 * float(norm)

    weighting = GraP(problem.names).double()
    weighting.weights.data = torch.tensor(weights).double()
    bank = HeadBank(weighting, 5, 4).double()
    bank.weight.data.copy_(problem.weight.data)
    bank.bias.data.copy_(problem.bias.data)
    before = problem.encoder.detach().clone()
    parameters = [problem.encoder, bank.weight, bank.bias, *problem.second]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    backward(problem.total(bank(problem.encode())))
    found = torch.nn.utils.clip_grad_norm_(parameters, limit)
    torch.testing.assert_close(found, norm)
    optimizer.step()
    torch.testing.assert_close(problem.encoder.detach(), before - 0.05 * parts["encoder"])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_bf16_autocast_keeps_the_statistics_in_float32(fused: bool, inside: bool) -> None:
    reference = Net(fused)
    reference.weighting.weights.data = torch.tensor([0.6, 1.5, 0.9])
    net = Net(fused)
    net.load_state_dict(reference.state_dict())
    data = batch(0, positions=200)
    backward(reference(data))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = net(data)
        assert net.bank(net.encoder(data[0]))["a"].dtype == torch.bfloat16
        if inside:
            backward(total)
    if not inside:
        backward(total)
    statistics, exact = net.weighting.statistics, reference.weighting.statistics
    assert statistics is not None
    assert exact is not None
    assert statistics.gram.dtype == statistics.alignment.dtype == torch.float32
    # bf16 keeps 8 bits, an error of 0.4 % in each factor of a product. K x K algebra in bf16, as
    # autocast would do it, puts 5 % and more into the weights' gradient: its terms cancel.
    assert relative(statistics.gram, exact.gram) < 0.01
    assert relative(statistics.alignment, exact.alignment) < 0.02
    assert relative(net.encoder_gradient(), reference.encoder_gradient()) < 0.02
    assert relative(net.weight_gradient(), reference.weight_gradient()) < 0.03


@pytest.mark.parametrize("fused", [True, False])
def test_backward_inside_autocast_is_backward_outside(fused: bool) -> None:
    """Bit by bit for what the node itself computes in float32."""
    nets = Net(fused), Net(fused)
    for net, inside in zip(nets, (True, False), strict=True):
        net.encoder.requires_grad_(False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = list(net.hidden(net.encoder(batch(0)[0])))
            total = torch.stack(
                [(h.float() - 0.1 * j).square().mean() for j, h in enumerate(hidden)]
            )
            if inside:
                backward(total.sum())
        if not inside:
            backward(total.sum())
    if fused:
        assert torch.equal(nets[0].weight_gradient(), nets[1].weight_gradient())
    else:
        assert relative(nets[0].weight_gradient(), nets[1].weight_gradient()) < 1e-6


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("units", ["loss", "gradient"])
def test_loss_scaling_leaves_the_update_of_the_weights(fused: bool, units: str) -> None:
    nets = Net(fused, units=units), Net(fused, units=units)
    for net, scale in zip(nets, (1.0, 2.0**16), strict=True):
        optimizer = net.optimizer()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for seed in range(3):
            optimizer.zero_grad()
            backward(scaler.scale(net(batch(seed))))
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
    # A power of two changes no mantissa.
    assert relative(nets[1].weight_gradient(), nets[0].weight_gradient()) < 1e-5
    torch.testing.assert_close(nets[1].weighting.weights, nets[0].weighting.weights)
    assert relative(nets[1].encoder_gradient(), nets[0].encoder_gradient()) < 1e-5


@pytest.mark.parametrize("normalization", ["gradnorm", "sum", "none"])
@pytest.mark.parametrize("units", ["loss", "gradient"])
def test_weights_stay_finite_and_in_range(normalization: str, units: str) -> None:
    net = Net(normalization=normalization, units=units)
    model = net.parameters()
    # Steps as large as the weights themselves: every second one leaves the range.
    optimizer = torch.optim.Adam([{"params": model}, net.weighting.parameter_group(1.0)])
    left = 0
    for seed in range(20):
        update(net, optimizer, seed)
        left += int((net.weighting.weights < 0).any())
        weights = torch.tensor(list(net.weighting.named_weights().values()))
        assert weights.isfinite().all()
        assert (weights >= 0).all()
        if normalization != "none":
            assert weights.mean().item() == pytest.approx(1.0, abs=1e-6)
    assert left >= 3


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("options", [{}, {"units": "gradient", "smoothing": 0.9}])
def test_a_resumed_run_continues_bit_by_bit(fused: bool, options: dict[str, Any]) -> None:
    straight = Net(fused, **options)
    optimizer = straight.optimizer()
    for seed in range(10):
        if seed == 5:
            file = io.BytesIO()
            torch.save([straight.state_dict(), optimizer.state_dict()], file)
        update(straight, optimizer, seed)
    file.seek(0)
    torch.manual_seed(77)
    resumed = Net(fused, **options)
    again = resumed.optimizer()
    model_state, optimizer_state = torch.load(file, weights_only=True)
    resumed.load_state_dict(model_state)
    again.load_state_dict(optimizer_state)
    for seed in range(5, 10):
        update(resumed, again, seed)
    for (key, ours), theirs in zip(
        resumed.state_dict().items(), straight.state_dict().values(), strict=True
    ):
        assert not isinstance(ours, Tensor) or torch.equal(ours, theirs), key
    assert (resumed.weighting.weights.detach() - 1).abs().max() > 0.05


class Module(lightning.LightningModule):
    """The net under Lightning's automatic optimisation."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        total: Tensor = self.net(batch)
        return total

    def configure_optimizers(self) -> torch.optim.Adam:
        return self.net.optimizer()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning_is_the_plain_loop(precision: Any) -> None:
    """Automatic optimisation with accumulation and clipping against six lines of PyTorch."""
    plain, wrapped = Net(), Net()
    optimizer = plain.optimizer()
    for seed in range(6):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = plain(batch(seed)) / 2
        backward(loss)
        if seed % 2:
            # Lightning clips all that the optimiser holds, the weights too.
            held = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(held, 0.05)
            optimizer.step()
            optimizer.zero_grad()
    batches: Any = DataLoader([batch(seed) for seed in range(6)], batch_size=None)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            precision=precision,
            max_epochs=1,
            accumulate_grad_batches=2,
            gradient_clip_val=0.05,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(wrapped), batches)
    # Lightning sums the norms in another order before it clips.
    for ours, theirs in zip(wrapped.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (wrapped.weighting.weights.detach() - 1).abs().max() > 0.01


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_compiled_encoder_and_heads_train_alike(fused: bool, whole: bool) -> None:
    """Compiled part by part, or as a whole: the compiler steps around the node."""
    plain, compiled = Net(fused), Net(fused)
    call: Any = compiled
    if whole:
        call = torch.compile(compiled, backend="aot_eager")
    else:
        compiled.encoder.compile(backend="aot_eager")
        compiled.seconds[0].compile(backend="aot_eager")
    optimizers = plain.optimizer(), compiled.optimizer()
    for seed in range(3):
        for net, optimizer in zip((plain, call), optimizers, strict=True):
            optimizer.zero_grad()
            backward(net(batch(seed)))
            optimizer.step()
    for ours, theirs in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert (compiled.weighting.weights - 1).abs().max() > 0.01
