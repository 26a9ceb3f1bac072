"""What a search may try, in Hydra's words: `lr=tag(log, interval(0.0005, 0.01))` and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grap_seq import config as configs
from grap_seq import overrides
from grap_seq.experiments.plan import Experiment, flat
from grap_seq.objectives.composite import loss_names
from grap_seq.schema import Schema

WEIGHTS = "weighting.weights"


@dataclass(frozen=True)
class Space:
    """What a search may try.

    Args:
        fixed: settings that all trials have.
        searched: distributions of Optuna, by the setting or `weighting.weights.LOSS`.
        start: values of the first trial.
    """

    fixed: tuple[str, ...]
    searched: Mapping[str, Any]
    start: Mapping[str, Any]

    def typed(self, drawn: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings with the values that were drawn; weights of losses are one setting."""
        weights = weights_of(drawn)
        others = {name: value for name, value in drawn.items() if not _weighs(name)}
        told = ", ".join(f"{name}: {value}" for name, value in weights.items())
        return (*self.fixed, *([f"{WEIGHTS}={{{told}}}"] if weights else []), *flat(others))


def weights_of(drawn: Mapping[str, Any]) -> dict[str, float]:
    """Weights by loss among the values that were drawn."""
    names = [name for name in drawn if _weighs(name)]
    return {name.removeprefix(f"{WEIGHTS}."): drawn[name] for name in names}


def _weighs(name: str) -> bool:
    return name.startswith(f"{WEIGHTS}.")


def space_of(
    experiment: Experiment, words: Sequence[str], each_loss: str | None, prepared: Path
) -> Space:
    """What a search may try for a method, beginning with the method as it is.

    Args:
        experiment: the method, on a dataset with an encoder.
        words: settings, of which `choice(...)`, `range(...)` and `interval(...)` are searched;
            `tag(log, ...)` makes an interval's scale logarithmic.
        each_loss: the same for the weight of each loss; None: weights are not searched.
        prepared: the dataset's prepared folder.

    Raises:
        ValueError: words that Hydra does not read, nothing to search, or a method's own value that
            its range does not have.
    """
    named = [overrides.split(word) for word in words]
    read = {key: overrides.parsed(key, text) for key, text in named}
    fixed = [word for word, (key, _) in zip(words, named, strict=True) if not _open(read[key])]
    searched = {key: distribution(found) for key, found in read.items() if _open(found)}
    settings = [*experiment.training, *fixed]
    if each_loss is not None:
        settings.append(f"{WEIGHTS}={{}}")
    whole = configs.compose("pretrain", settings)
    # It says which settings there are, and of what kind.
    configs.compose("pretrain", [*settings, *flat({k: _one(kind) for k, kind in searched.items()})])
    start = {key: _value(whole, key) for key in searched}
    if each_loss is not None:
        objective, kind = whole.objective, distribution(overrides.parsed(WEIGHTS, each_loss))
        chosen = (objective.targets, objective.coles, objective.losses, objective.without)
        losses = loss_names(Schema.load(prepared), *chosen)
        searched |= {f"{WEIGHTS}.{name}": kind for name in losses}
        start |= {f"{WEIGHTS}.{name}": 1.0 for name in losses}
    if not searched:
        raise ValueError("search: nothing to search, such as lr=tag(log, interval(0.001, 0.01))")
    for key, kind in searched.items():
        if not _has(kind, start[key]):
            raise ValueError(f"search: {key} is {start[key]}, which is not in {kind}; widen it")
    return Space(tuple(fixed), searched, start)


def _open(parsed: Any) -> bool:
    return bool(parsed.is_sweep_override())


def _value(config: Any, key: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.select(config, key)


def distribution(parsed: Any) -> Any:
    """What Optuna calls several values of Hydra's."""
    from hydra.core.override_parser.types import IntervalSweep
    from hydra.errors import HydraException
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    what = parsed.value()
    if isinstance(what, IntervalSweep):
        assert what.start is not None
        assert what.end is not None
        return FloatDistribution(float(what.start), float(what.end), log="log" in what.tags)
    try:
        return CategoricalDistribution(tuple(parsed.sweep_iterator()))
    except HydraException as error:
        raise ValueError(f"search: {parsed.input_line}: {error}") from error


def _has(kind: Any, value: Any) -> bool:
    from optuna.distributions import CategoricalDistribution

    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    return isinstance(value, int | float) and kind.low <= value <= kind.high


def _one(kind: Any) -> Any:
    """A value of a distribution."""
    from optuna.distributions import CategoricalDistribution

    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low
