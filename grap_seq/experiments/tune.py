"""`grap-seq tune`: constant weights by search, as the paper's "Optuna" rows have them.

The first trial has equal weights, so that a search never ends below them on validation data. Trials
are not pruned: weights change what a loss means, and the score that decides exists at a run's end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from grap_seq import config as configs
from grap_seq.experiments.job import Job
from grap_seq.experiments.pictures import Picture
from grap_seq.experiments.plan import check_free, check_prepared, evaluation, flat, training
from grap_seq.experiments.runs import do
from grap_seq.experiments.search_picture import Scored, draw_search, without_search
from grap_seq.experiments.workers import beside
from grap_seq.files import write_json
from grap_seq.objectives.composite import loss_names
from grap_seq.report.verdict import METRIC_NAMES
from grap_seq.schema import Schema
from grap_seq.terminal import say

JOURNAL, TUNED, STUDY = "journal.log", "tuned.json", "weights"
LOWEST, HIGHEST = 1e-2, 1e1
# Of the dataset's own learning rate.
RATES = (0.1, 10.0)


def tune(settings: Any) -> dict[str, Any]:
    """Search, and write what was found to tuned.json, and a picture: search_*.svg and .png.

    Args:
        settings: of `configs/tune.yaml`.

    Returns:
        Its content: `weights` by loss, all `settings` of `pretrain`, `validation` and `test` score
        of the best trial, validation score of `equal` weights (None: that trial failed), how many
        `trials` succeeded and `failed`, their `seconds`, and `runs`: these in median trials.

    Raises:
        ValueError: optuna is missing, no trial succeeded, or the folder has a search with other
            settings, or `beside` no run of GraP with these.
        FileNotFoundError: the dataset is not prepared.
    """
    if find_spec("optuna") is None:
        raise ValueError("tune needs Optuna; run `pip install 'grap-seq[tune]'`")
    output = Path(settings.output)
    check_free(flat(settings["with"]), ["weighting=fixed"])
    check_prepared(settings.dataset.name, Path(settings.data) / settings.dataset.name)
    output.mkdir(parents=True, exist_ok=True)
    study = _study(output, settings, 0)
    _check_same(study, settings)
    if not study.trials:
        more = ["lr factor"] if settings.learning_rate else []
        study.enqueue_trial(dict.fromkeys([*_names(settings), *more], 1.0))
    # What stands beside the search has to be there before it begins.
    compared: list[Scored] = []
    if settings.beside is not None:
        compared = without_search(Path(settings.beside), _training(settings, ["weighting=grap"]))
    with beside(settings.workers - 1, _work, settings):
        _work(settings, 0)
    study = _study(output, settings, 0)
    found = _found(study)
    write_json(output / TUNED, found)
    _picture(study, compared, settings).write(output / "search")
    return found


def _study(output: Path, settings: Any, worker: int) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    # It would print all weights of a trial that fails, of which the log has the cause.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: Any = optuna.samplers
    # Others' trials that are under way count as bad, so that two workers try different ones.
    kind, options = {
        "tpe": (samplers.TPESampler, {"constant_liar": True}),
        "random": (samplers.RandomSampler, {}),
    }[settings.sampler]
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(output / JOURNAL))),
        sampler=kind(seed=settings.seed + worker, **options),
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
    )


def _check_same(study: Any, settings: Any) -> None:
    """Raise ValueError where a folder's search has other settings."""
    fixed = ("dataset", "encoder", "learning_rate", "budget", "with", "seed")
    mine = {name: settings[name] for name in fixed}
    mine |= {"dataset": settings.dataset.name, "encoder": settings.encoder.name}
    mine["with"] = flat(settings["with"])
    known = study.user_attrs.get("settings")
    if known is None:
        study.set_user_attr("settings", mine)
    elif known != mine:
        changed = [name for name in fixed if known.get(name) != mine[name]]
        raise ValueError(
            f"output={settings.output} holds a search with another {', '.join(changed)}; choose "
            "another folder"
        )


def _training(settings: Any, weighting: list[str]) -> list[str]:
    return training(
        settings.dataset.name,
        settings.encoder.name,
        weighting,
        settings.seed,
        settings.budget,
        flat(settings["with"]),
    )


def typed(weights: Mapping[str, float]) -> str:
    """Weights as `weighting.weights=` takes them."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in weights.items())}}}"


def _names(settings: Any) -> list[str]:
    """The losses that are weighed."""
    objective = configs.compose("pretrain", _training(settings, ["weighting=equal"])).objective
    schema = Schema.load(Path(settings.data) / settings.dataset.name)
    return loss_names(schema, objective.targets, objective.coles, objective.losses)


def _work(settings: Any, worker: int) -> None:
    """Do trials until there are enough."""
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.FAIL)
    study = _study(Path(settings.output), settings, worker)
    names = _names(settings)
    given = configs.compose("pretrain", _training(settings, ["weighting=equal"]))

    def score(trial: Any) -> float:
        weights = {name: trial.suggest_float(name, LOWEST, HIGHEST, log=True) for name in names}
        told = ["weighting=fixed", f"weighting.weights={typed(weights)}"]
        if settings.learning_rate:
            factor = trial.suggest_float("lr factor", *RATES, log=True)
            told.append(f"lr={given.lr * factor}")
        folder = Path(settings.output) / "runs" / f"{trial.number:04d}"
        chosen = _training(settings, told)
        job = Job(
            name=folder.name,
            title=folder.name,
            alike="",
            settings=tuple(chosen),
            prepared=Path(settings.data) / settings.dataset.name,
            threads=settings.threads,
            evaluation=tuple(evaluation(settings.budget)),
        )
        outcome = do(job, folder.parent)
        assert outcome is not None
        if outcome.result is None:
            say(f"Trial {trial.number} failed: {outcome.error}")
            raise RuntimeError(outcome.error)
        validation = (outcome.result["validation"] or {}).get("embedding")
        if validation is None:
            raise ValueError(
                f"{settings.dataset.name} has too few labelled validation sequences to choose by"
            )
        trial.set_user_attr("test", outcome.result["test"]["embedding"])
        trial.set_user_attr("seconds", outcome.seconds)
        trial.set_user_attr("settings", chosen)
        say(f"Trial {trial.number}: {validation:.4f} on validation data, {outcome.seconds:.0f} s.")
        return float(validation)

    if len(study.get_trials(states=ended)) < settings.trials:
        enough = MaxTrialsCallback(settings.trials, states=ended)
        study.optimize(score, callbacks=[enough], catch=(RuntimeError,))


def _picture(study: Any, compared: Sequence[Scored], settings: Any) -> Picture:
    """Of what the search has reached by what it cost."""
    from optuna.trial import TrialState

    done = study.get_trials(states=(TrialState.COMPLETE,))
    trials = [
        Scored(
            trial.value,
            trial.user_attrs["test"],
            trial.user_attrs["seconds"],
            equal=set(trial.params.values()) == {1.0},
        )
        for trial in sorted(done, key=lambda trial: trial.datetime_complete)
    ]
    schema = Schema.load(Path(settings.data) / settings.dataset.name)
    label = schema.label()
    assert label is not None
    return Picture(
        f"{settings.dataset.name}_{settings.encoder.name}",
        "Scores over compute.",
        draw_search(trials, compared, METRIC_NAMES[label.metric]),
    )


def _found(study: Any) -> dict[str, Any]:
    from optuna.trial import TrialState

    done = study.get_trials(states=(TrialState.COMPLETE,))
    failed = len(study.get_trials(states=(TrialState.FAIL,)))
    if not done:
        raise ValueError(f"all {failed} trials failed; see log.txt in their folders")
    best, seconds = study.best_trial, [trial.user_attrs["seconds"] for trial in done]
    return {
        "weights": {name: value for name, value in best.params.items() if name != "lr factor"},
        "settings": best.user_attrs["settings"],
        "validation": best.value,
        "test": best.user_attrs["test"],
        "equal": next((t.value for t in done if set(t.params.values()) == {1.0}), None),
        "trials": len(done),
        "failed": failed,
        "seconds": sum(seconds),
        "runs": sum(seconds) / median(seconds),
    }
