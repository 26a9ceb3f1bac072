"""What every process sets before it trains."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch

from grap_seq import choices
from grap_seq import config as configs
from grap_seq.training.checkpoints import Checkpoints
from grap_seq.training.trainer import build_trainer
from tests.processes import together


class Net(lightning.LightningModule):
    """A model that says which precision it is trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Linear(1, 1)
        self.seen = ""

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.seen = torch.get_float32_matmul_precision()
        if torch.distributed.is_initialized():
            assert self.seen == "medium"
        loss: torch.Tensor = self.model(batch).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_precision_of_matrix_products(tmp_path: Path, precision: str) -> None:
    chosen = [f"trainer.matmul_precision={precision}", "epochs=1", "trainer.threads=1"]
    net, config = Net(), configs.compose("pretrain", chosen)
    trainer = build_trainer(config, [Checkpoints(tmp_path, "last")], "")
    trainer.fit(net, torch.utils.data.DataLoader(torch.ones(2, 1)))  # type: ignore[arg-type]
    assert net.seen == precision
    # What PyTorch leaves on: cuDNN would multiply a GRU's states in TF32 whatever was asked for.
    assert torch.backends.cudnn.allow_tf32 == (precision != "highest")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("32-true", ""),
        ("bf16-mixed", "bf16-mixed: products in bfloat16, the states of a GRU in float32.\n"),
    ],
)
def test_the_dtype_of_products_and_states_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chosen: str, said: str
) -> None:
    settings = [f"trainer.precision={chosen}", "epochs=1", "trainer.threads=1"]
    trainer = build_trainer(
        configs.compose("pretrain", settings), [Checkpoints(tmp_path, "last")], ""
    )
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.ones(2, 1)))  # type: ignore[arg-type]
    assert capsys.readouterr().out == said


@together
def test_every_process_sets_it(tmp_path: Path, forked_ranks: None) -> None:
    chosen = ["trainer=ddp2_cpu", "trainer.matmul_precision=medium", "epochs=1"]
    config = configs.compose("pretrain", [*chosen, "trainer.threads=1"])
    trainer = build_trainer(config, [Checkpoints(tmp_path, "last")], "")
    # An assertion in another process is an error here.
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.ones(4, 1)))  # type: ignore[arg-type]


def test_tf32_is_for_gpus() -> None:
    for name in choices.names("trainer"):
        trainer = configs.compose("pretrain", [f"trainer={name}"]).trainer
        expected = "high" if trainer.accelerator == "gpu" else "highest"
        assert trainer.matmul_precision == expected
