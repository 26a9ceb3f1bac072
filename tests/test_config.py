"""Names on the command line: what exists composes, what does not gets a suggestion."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from grap_seq import choices, config, published
from grap_seq.experiments.plan import flat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sed=1"], "no setting 'sed': did you mean 'seed'"),
        (["dataset.crops.view=3"], "did you mean 'dataset.crops.views'"),
        (["encoder=gur"], "encoder=gur: did you mean 'gru'"),
        (["weighting=grab"], "did you mean 'grap'"),
        (["seed"], "written key=value"),
        (["weighting=fixed"], "needs weighting.weights="),
        (["experiment=churn_gru_grab"], "did you mean 'churn_gru_grap'"),
        (["epochs=[1"], "epochs"),
        (["epochs=1,2"], "epochs=1,2: give one value"),
        (["dataset.crops={vies: 3}"], "did you mean 'dataset.crops.views'"),
        (["epochs=many"], "epochs=many: write a whole number from 1 to 1000000, or auto"),
        (["epochs=1.5"], "write a whole number"),
        (["batch_size=0"], "batch_size=0: write a whole number from 1 up"),
        (["dataset.hidden=0"], "hidden=0: write a whole number from 1 to 16384"),
        (["seed=-1"], "seed=-1: write a whole number from 0 up"),
        (["lr=fast"], "lr=fast: write a number"),
        (["overwrite=maybe"], "overwrite=maybe: write true or false"),
    ],
)
def test_wrong_arguments_name_the_remedy(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        config.compose("pretrain", arguments)


def test_every_shipped_choice_composes() -> None:
    # Encoders read settings of the dataset; the other groups stand alone.
    pairs = list(itertools.product(choices.names("dataset"), choices.names("encoder")))
    groups = ("objective", "trainer")
    others = itertools.cycle(itertools.zip_longest(*(choices.names(group) for group in groups)))
    for (dataset, encoder), rest in zip(pairs, others, strict=False):
        names = {"dataset": dataset, "encoder": encoder, **dict(zip(groups, rest, strict=True))}
        chosen = [f"{group}={name}" for group, name in names.items() if name is not None]
        settings = config.compose("pretrain", chosen)
        assert settings.prepared == f"data/{dataset}"
    assert len(pairs) >= max(len(choices.names(group)) for group in groups)


def test_clipping_is_switched_off_by_null_or_zero() -> None:
    assert config.compose("pretrain", ["clip=null"]).clip is None
    assert config.compose("pretrain", ["clip=0"]).clip == 0
    with pytest.raises(ValueError, match=r"clip=-1: write a number from 0 up or null"):
        config.compose("pretrain", ["clip=-1"])
    with pytest.raises(ValueError, match="epochs=null: write a whole number"):
        config.compose("pretrain", ["epochs=null"])


def test_values_and_interpolations(tmp_path: Path) -> None:
    settings = config.compose(
        "pretrain", ["dataset=table", "dataset.hidden=32", "seed=3", "weighting=equal"]
    )
    assert (settings.encoder.hidden, settings.seed) == (32, 3)
    assert settings.run == "runs/table_gru_equal"
    values: Any = OmegaConf.to_container(settings, resolve=True)
    config.save(values, tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml")["encoder"]["hidden"] == 32


def test_experiments_stand_for_their_parts() -> None:
    settings = config.compose("pretrain", ["experiment=mimic3_ht_transformer_searched", "seed=2"])
    assert settings.run == "runs/mimic3_ht_transformer_searched"
    assert settings.weighting.weights == {"time": 0.05, "type": 0.9}
    encoder = settings.encoder
    assert (encoder.hidden, encoder.layers, encoder.feedforward) == (512, 8, 1024)
    assert (encoder.max_duration, encoder.frequency, encoder.embed_layers) == (4000, 0.1, "last")
    assert settings.pooling == "last"
    own = config.compose("pretrain", ["pooling=mean", "experiment=mimic3_gru_grap"])
    assert own.pooling == "mean"
    supervised = config.compose("pretrain", ["experiment=alfabattle_transformer_supervised"])
    assert (supervised.mode, supervised.encoder.layers, supervised.lr_step) == (
        "supervised",
        10,
        10,
    )
    every = published.experiments()
    kinds = [choices.names(group) for group in ("dataset", "encoder", "weighting")]
    # Two modes, of which "auxiliary" is a weighting too, and CoLES alone.
    assert len(every) == len(kinds[0]) * len(kinds[1]) * (len(kinds[2]) + 1)
    for name in ("churn_gru_grap", "taobao_ht_transformer_gradnorm", "agepred_gru_auxiliary"):
        assert name in every


def test_experiments_are_the_published_settings() -> None:
    """Protocol, sections 1, 3 and 5; without experiment= the toolkit's own defaults."""
    plain = config.compose("pretrain", ["dataset=agepred"])
    assert (plain.objective.coles_reduction, plain.gap_table) == ("mean", None)
    settings = config.compose("pretrain", ["experiment=agepred_gru_grap"])
    assert (settings.objective.coles_reduction, settings.gap_table) == ("sum", [800, 16])
    published = config.compose("pretrain", ["experiment=churn_gru_grap_published"])
    assert (published.weighting.decay, published.lr_gamma) == (True, 0.6)
    for dataset, normalize in (("alfabattle", False), ("mbd_mini", False), ("churn", True)):
        settings = config.compose("pretrain", [f"experiment={dataset}_transformer_equal"])
        assert settings.normalize is normalize
    supervised = config.compose("pretrain", ["experiment=alfabattle_gru_supervised"])
    assert supervised.head_hidden == 128
    dropped = config.compose("pretrain", ["experiment=churn_transformer_grap"]).encoder
    assert dropped.attention_dropout == dropped.dropout == 0.3
    assert config.compose("pretrain", ["encoder=transformer"]).encoder.attention_dropout == 0
    settings = config.compose("pretrain", ["trainer=ddp2", "experiment=churn_ht_transformer_grap"])
    assert settings.trainer.precision == "32-true"
    assert config.compose("pretrain", ["trainer=ddp2"]).trainer.precision == "bf16-mixed"


def test_coles_alone_has_rates_of_its_own() -> None:
    settings = config.compose("pretrain", ["dataset=churn", "objective=coles"])
    assert (settings.lr, settings.lr_step, settings.lr_gamma) == (0.004, 10, 0.9025)
    assert settings.objective.coles_head is False
    settings = config.compose("pretrain", ["experiment=agepred_gru_coles"])
    assert (settings.lr, settings.lr_step, settings.epochs) == (0.001, 30, 150)
    assert (settings.encoder.hidden, settings.weighting.name) == (800, "equal")
    settings = config.compose("pretrain", ["experiment=alfabattle_gru_coles", "lr=0.1"])
    assert (settings.lr, settings.batch_size) == (0.1, 256)
    assert config.compose("pretrain", ["dataset=churn"]).lr == 0.001


def test_entries_that_users_name_are_free() -> None:
    weights = "weighting.weights={coles: 0.5, time: 1}"
    settings = config.compose("pretrain", ["weighting=fixed", weights])
    assert settings.weighting.weights.coles == 0.5
    settings = config.compose("pretrain", ["dataset.boosting.multiclass.num_leaves=7"])
    assert settings.dataset.boosting.multiclass.num_leaves == 7


def test_the_width_of_event_vectors_is_the_encoders() -> None:
    """The protocol: a block of width 128 before a GRU, none before a Transformer."""
    found = {
        encoder: config.compose("pretrain", [f"encoder={encoder}"]).event_width
        for encoder in choices.names("encoder")
    }
    assert found == {"gru": 128, "ptls_rnn": 128, "transformer": 0, "ht_transformer": 0}
    assert config.compose("pretrain", ["encoder=transformer", "event_width=16"]).event_width == 16


@pytest.mark.parametrize(
    "words",
    [
        ["trainer=gpu", "trainer.workers=1", "encoder.hidden=64"],
        ["trainer.workers=1", "encoder.hidden=64", "trainer=gpu"],
    ],
)
def test_what_is_passed_on_keeps_a_choice_beside_values_in_it(words: list[str]) -> None:
    settings = config.compose("reproduce", ["table=1", *(f"with.{word}" for word in words)])
    assert flat(settings["with"]) == words
    trainer = config.compose("pretrain", flat(settings["with"])).trainer
    assert (trainer.accelerator, trainer.workers) == ("gpu", 1)
