"""Experiments of the paper by name: `experiment=churn_gru_grap`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import yaml

from grap_seq import choices, resources
from grap_seq.names import nearest
from grap_seq.overrides import split


def experiments() -> dict[str, list[str]]:
    """Overrides of every `experiment=DATASET_ENCODER_METHOD`: the published settings.

    A method is a weighting, a mode, or "coles", which is CoLES alone. Published are the last state
    as the embedding of a sequence, without a word about when it was, CoLES as a sum, dropout of
    attention weights, history tokens in float32, and what a dataset's config lists under
    `published` (protocol, sections 2, 3, 5 and 7).
    """
    methods = {name: f"weighting={name}" for name in choices.names("weighting")}
    methods |= {mode: f"mode={mode}" for mode in ("auxiliary", "supervised")}
    methods |= {"coles": "objective=coles"}
    found = {}
    for dataset in choices.names("dataset"):
        path = resources.folder("configs") / "dataset" / f"{dataset}.yaml"
        published = yaml.safe_load(path.read_text("utf-8"))["published"]
        for encoder, method in product(choices.names("encoder"), methods):
            settings = dict(published["all"])
            if method == "coles":
                settings |= published["coles"] | {"weighting": "equal"}
            if method == "grap_published":
                settings["lr_gamma"] = 0.6
            if encoder.endswith("transformer"):
                settings["encoder.attention_dropout"] = "${dataset.transformer.dropout}"
            if encoder == "ht_transformer":
                settings["trainer.precision"] = "32-true"
            found[f"{dataset}_{encoder}_{method}"] = [
                f"dataset={dataset}",
                f"encoder={encoder}",
                methods[method],
                "pooling=last",
                "recency=false",
                "objective.coles_reduction=sum",
                "by_width=0",
                *([] if method == "coles" else ["objective.targets=[next]"]),
                *(f"{key}={value}" for key, value in settings.items()),
            ]
    return found


def spelled_out(given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The overrides behind those that `experiment=` stands for."""
    names = [value for key, value in given if key == "experiment"]
    if not names:
        return list(given)
    known = experiments()
    for name in names:
        if name not in known:
            raise ValueError(f"experiment={name}: {nearest(name, list(known))}")
    meant = [split(override) for name in names for override in known[name]]
    return meant + [(key, value) for key, value in given if key != "experiment"]
