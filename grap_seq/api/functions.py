"""The commands as functions: the same settings by the same names, from Python's own values.

Each runs the command's own code, says the same, and raises its errors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from typing_extensions import Unpack

from grap_seq import commands
from grap_seq.api import settings as named
from grap_seq.api.results import Evaluation, Prepared, Report, Run
from grap_seq.api.tables import StrPath, Table, is_path, written
from grap_seq.api.words import words
from grap_seq.files import file_name

if TYPE_CHECKING:
    import pandas as pd

    from grap_seq.evaluation.model import EmbeddingModel

DESCRIPTION = frozenset(named.Description.__annotations__)


def prepare(
    events: Table | StrPath | None = None,
    output: StrPath | None = None,
    *,
    labels: Table | StrPath | None = None,
    spec: StrPath | None = None,
    **settings: Unpack[named.Prepare],
) -> Prepared:
    """Code a table of events, or a dataset that has a recipe, for training.

    >>> grap_seq.prepare(purchases, id="customer", time="bought", time_unit="day",
    ...     categorical=["shop"], numerical=["amount"], label="churned")    # doctest: +SKIP

    Args:
        events: a pandas, polars or pyarrow table, a list of records with an array a field, or the
            path or address of files; None for a recipe that needs none (`dataset="flights"`).
        output: the folder to write; None: data/NAME.
        labels: a table with the id and the labels, or the path of one, where they are not among the
            events.
        spec: a YAML description. Its keys may be given as arguments instead.
        settings: keys of a description, and settings of `grap-seq prepare`.

    Raises:
        FileExistsError: the folder exists; see `overwrite`.
        FileNotFoundError, ValueError: bad input; the message names file, row and column.
        TypeError: a description by arguments and by `spec` at once.
    """
    given: dict[str, Any] = dict(settings)
    described = {key: given.pop(key) for key in DESCRIPTION if key in given}
    if events is not None:
        given.setdefault("dataset", "table")
    if spec is not None and (described or labels is not None):
        names = ", ".join(sorted(described)) or "labels"
        raise TypeError(f"spec={spec} describes the table; leave out {names}")
    in_memory = events is not None and not is_path(events)
    if in_memory and spec is None and not described:
        raise TypeError(
            "say what the table's columns are: id=, time=, categorical=, numerical=, label=; or"
            " **grap_seq.suggest(events) for a first guess"
        )
    if not in_memory and not described:
        if labels is not None:
            raise TypeError("labels: describe the events by arguments too: id=, time=, label=, ...")
        places = {"source": events, "output": output, "spec": spec}
        return Prepared(commands.prepare(words(_with(places, given))))
    if events is None:
        raise TypeError(f"events: name the table that {', '.join(sorted(described))} describe")
    described = {"name": "events", **described}
    if given.get("until") is not None and "like" not in given:
        described["until"] = given.pop("until")
    near = Path(output if output is not None else f"data/{file_name(str(described['name']))}")
    with written(events, described, labels, near) as (source, description):
        places = {"source": source, "output": near, "spec": description if spec is None else spec}
        return Prepared(commands.prepare(words(_with(places, given))))


def suggest(
    events: Table | StrPath,
    *,
    id: str | None = None,
    time: str | None = None,
    label: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """A first description of a table, by looking at it: every line is a guess to be checked.

    >>> described = grap_seq.suggest(purchases, id="customer")    # doctest: +SKIP
    >>> prepared = grap_seq.prepare(purchases, **described)       # doctest: +SKIP

    Args:
        events: a pandas, polars or pyarrow table, or the path of one.
        id: the column that need not be guessed.
        time: likewise.
        label: likewise, one or several.

    Returns:
        Keys of a description.

    Raises:
        FileNotFoundError, ValueError: no table, an empty one, or no column that can be id or time.
    """
    labels = (label,) if isinstance(label, str) else label
    with written(events, {}, None, Path(tempfile.gettempdir()) / "events") as (source, description):
        from grap_seq.prep.describe.guess import Known
        from grap_seq.prep.describe.suggest import suggest as describe

        description.unlink()
        known = Known(id, time, None if labels is None else tuple(labels))
        text = describe(Path(source), description, known).read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def pretrain(prepared: StrPath | None = None, **settings: Unpack[named.Pretrain]) -> Run:
    """Train an encoder on a prepared folder.

    Args:
        prepared: a prepared folder; None: that of the dataset, data/NAME.
        settings: of `grap-seq pretrain`.

    Raises:
        FileExistsError: the run folder exists; see `overwrite` and `resume`.
        FileNotFoundError, ValueError: no such folder, or settings that do not fit.
    """
    return Run(commands.pretrain(words(_with({"prepared": prepared}, settings))))


def finetune(run: StrPath, **settings: Unpack[named.Finetune]) -> Run:
    """Let the encoder of a run learn the label; returns the new run.

    Args:
        run: a finished run.
        settings: of `grap-seq finetune`.

    Raises:
        FileExistsError: the new run folder exists; see `overwrite` and `resume`.
        FileNotFoundError, ValueError: no such run, or data without labels.
    """
    return Run(commands.finetune(words(_with({"run": run}, settings))))


def embed(
    run: StrPath, events: Table | StrPath | None = None, **settings: Unpack[named.Embed]
) -> pd.DataFrame | Path:
    """Embeddings of new events, or of the whole folder that a run was trained on.

    Args:
        run: a finished run.
        events: a table of new events, or the path of one; None: a prepared folder, by default the
            run's own.
        settings: of `grap-seq embed`; with events, `device` and `eval_length` alone.

    Returns:
        With events, a row for each id; without, the folder of train.parquet, val.parquet and
        test.parquet, of which `Run.embeddings` reads one.

    Raises:
        FileNotFoundError, ValueError: no finished run, or bad input.
        TypeError: a setting that has no meaning for events.
    """
    if events is None:
        return commands.embed(words(_with({"run": run}, settings)))
    foreign = settings.keys() - {"device", "eval_length"}
    if foreign:
        raise TypeError(f"{', '.join(sorted(foreign))}: of prepared folders, not of events")
    model = _loaded(run, settings.get("device", "auto"))
    model.eval_length = settings.get("eval_length") or model.eval_length
    return model.embed(events)


def predict(
    run: StrPath, events: Table | StrPath, *, label: str | None = None, device: str = "auto"
) -> pd.DataFrame:
    """The label of new events' sequences: probabilities of its classes, or the number that it is.

    Args:
        run: a run that the label has trained, or one that was evaluated with `store=True`.
        events: a table of new events, or the path of one.
        label: which of several labels; None: that of the run's head, else the first.
        device: as of `embed`.

    Returns:
        A row for each id; a column a class, or one of the label's name.

    Raises:
        FileNotFoundError: nothing in the run predicts the label.
        ValueError: no such label, or bad input.
    """
    model = _loaded(run, device)
    numbers = not model.label(label).classes
    return (model.predict if numbers else model.predict_proba)(events, label)


def evaluate(run: StrPath, **settings: Unpack[named.Evaluate]) -> Evaluation:
    """Score a run's embeddings beside plain aggregates and an untrained encoder.

    Embeddings are made first where there are none.

    Args:
        run: a finished run of data with a label.
        settings: of `grap-seq evaluate`.

    Raises:
        FileNotFoundError, ValueError: no finished run, no labels, or embeddings of another model.
    """
    if not (Path(run) / "embeddings").is_dir():
        prepared = settings.get("prepared")
        commands.embed(
            words(_with({"run": run}, {} if prepared is None else {"prepared": prepared}))
        )
    return Evaluation(commands.evaluate(words(_with({"run": run}, settings))))


def report(run: StrPath | None = None, **settings: Unpack[named.Report]) -> Report:
    """One HTML page of a run: scores, weights, losses, embeddings; or, by `runs`, of several.

    >>> grap_seq.report(run)                                       # doctest: +SKIP
    >>> grap_seq.report(runs=[run, other], output="compared")      # doctest: +SKIP

    Args:
        run: a run, finished or not; the page lies in it.
        settings: of `grap-seq report`.

    Raises:
        FileNotFoundError, ValueError: no such run, both `run` and `runs`, or a damaged file.
    """
    return Report(commands.report(words(_with({"run": run}, settings))))


def tune(**settings: Unpack[named.Tune]) -> dict[str, Any]:
    """Search weights of the losses, or options of a method; `settings` of `grap-seq tune`."""
    return commands.tune(words(settings))


def _loaded(run: StrPath, device: str) -> EmbeddingModel:
    from grap_seq.evaluation.load import load

    return load(run, device=device)


def _with(places: dict[str, Any], settings: Any) -> dict[str, Any]:
    given = {key: value for key, value in places.items() if value is not None}
    return given | dict(settings)
