"""All4One's losses on views of the weighting: gradients against plain autograd, and who moves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grap_seq.vision.losses import feature_losses, nnclr
from grap_seq.vision.objective import LOSSES, All4One
from grap_seq.weighting import Equal, Fixed, Weighting
from grap_seq.weighting.base import DOWNSTREAM

FEATURES, CLASSES, BATCH = 6, 3, 8


class Plain(nn.Module):
    """No weighting: all losses see the features themselves."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys((*LOSSES, DOWNSTREAM), features)


def objective(weighting: Weighting | None = None) -> All4One:
    torch.manual_seed(0)
    return All4One(
        weighting or Equal(LOSSES),
        FEATURES,
        CLASSES,
        projector_hidden=5,
        projection=4,
        predictor_hidden=5,
        queue=16,
        layers=1,
        heads=2,
        feedforward=8,
        dropout=0.0,
    ).double()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Features, keys and labels."""
    torch.manual_seed(1)
    features = torch.randn(2, BATCH, FEATURES, dtype=torch.float64)
    keys = nn.functional.normalize(torch.randn(2, BATCH, 4, dtype=torch.float64), dim=2)
    return features.requires_grad_(), keys, torch.randint(CLASSES, (BATCH,))


def plain_losses() -> tuple[All4One, Tensor, dict[str, Tensor]]:
    model = objective()
    # The losses by autograd alone.
    model.weighting = Plain()  # type: ignore[assignment]
    features, keys, labels = batch()
    return model, features, model(features, keys, labels)


def test_losses_are_those_of_their_parts_put_together_by_hand() -> None:
    """In the order of the paper's reference: predictors see projections of the other view."""
    model, (features, keys, labels) = objective(), batch()
    losses = model(features, keys, labels)
    z = [model.projector(view) for view in features]
    # Keys of the queue by cosine, sorted by hand.
    order = [(key @ model.queue.keys.T).argsort(dim=1, descending=True)[:, :5] for key in keys]
    near = [model.queue.keys[rows] for rows in order]
    q = [model.predictors["nnclr"](projection) for projection in z]
    assert losses["nnclr"].item() == pytest.approx(
        nnclr(near[0][:, 0], q[0], near[1][:, 0], q[1], 0.2).item()
    )
    centroids = []
    for neighbours, projection in zip(near, z, strict=True):
        own = model.predictors["att_nnclr"](projection)[:, None]
        tokens = torch.cat([own, neighbours[:, :4]], dim=1)
        centroids.append((model.transformer(neighbours), model.transformer(tokens)))
    assert losses["att_nnclr"].item() == pytest.approx(nnclr(*centroids[0], *centroids[1]).item())
    on, off = feature_losses(keys[0], z[0], keys[1], z[1])
    assert losses["on_diag"].item() == pytest.approx(on.item())
    assert losses["off_diag"].item() == pytest.approx(off.item())
    logits = model.classifier(features)
    entropies = [nn.functional.cross_entropy(view, labels).item() for view in logits]
    assert losses[DOWNSTREAM].item() == pytest.approx(sum(entropies) / 2)


def test_equal_weights_are_plain_training_without_the_classifier_in_the_backbone() -> None:
    """A projector that all losses share learns from the sum of their gradients."""
    model, (features, keys, labels) = objective(), batch()
    torch.autograd.backward(model.weighting.total(model(features, keys, labels)))
    by_hand, plain, losses = plain_losses()
    together = torch.stack([losses[name] for name in LOSSES]).sum()
    torch.autograd.backward(together, retain_graph=True)
    assert plain.grad is not None
    expected = plain.grad.clone()
    torch.autograd.backward(losses[DOWNSTREAM])
    torch.testing.assert_close(features.grad, expected)
    for (name, ours), theirs in zip(model.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("name", LOSSES)
def test_one_weight_alone_gives_the_direction_of_that_loss(name: str) -> None:
    weights = {loss: float(loss == name) for loss in LOSSES}
    model, (features, keys, labels) = objective(Fixed(LOSSES, weights)), batch()
    torch.autograd.backward(model.weighting.total(model(features, keys, labels)))
    _, plain, losses = plain_losses()
    (expected,) = torch.autograd.grad(losses[name], plain)
    assert features.grad is not None
    cosine = nn.functional.cosine_similarity(features.grad.flatten(), expected.flatten(), dim=0)
    assert float(cosine) == pytest.approx(1.0, abs=1e-12)


def test_a_batch_norm_counts_a_view_once_and_the_queue_not_at_all() -> None:
    model, (features, keys, labels) = objective(), batch()
    queue = model.queue.keys.clone()
    model(features, keys, labels)
    buffers = dict(model.named_buffers())
    counts = {int(b) for name, b in buffers.items() if name.endswith("num_batches_tracked")}
    assert counts == {2}
    # The first norm's mean, by hand: two views, momentum 0.1.
    with torch.no_grad():
        first, second = (model.projector[0](view).mean(0) for view in features)
    torch.testing.assert_close(buffers["projector.1.running_mean"], 0.09 * first + 0.1 * second)
    assert model.queue.keys.equal(queue)
