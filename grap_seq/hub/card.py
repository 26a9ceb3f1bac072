"""The model card: README.md of a repository, from what the run says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grap_seq import __version__
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.evaluation.predictor import predicts
from grap_seq.pages.read import columns, read
from grap_seq.pages.verdict import METRIC_NAMES, protocol
from grap_seq.pages.verdict import scores as said
from grap_seq.prep.folder.manifest import MANIFEST, Manifest
from grap_seq.schema import SPLITS
from grap_seq.stored_run import config_of
from grap_seq.terminal import visible
from grap_seq.training.summary import sentences

NO_LICENCE = (
    "Not chosen yet. Nobody may use the model until it is: push again with `license=`, such as"
    " `license=apache-2.0`."
)


def card(model: EmbeddingModel, name: str, licence: str | None) -> str:
    """The card of a model.

    It names columns, losses and classes, and has no values of the data.

    Args:
        model: of a finished run.
        name: of the repository, "owner/name".
        licence: an identifier of the hub such as apache-2.0; None: a placeholder.

    Raises:
        ValueError: a file of the run is damaged.
    """
    run, schema = read(model.run), model.schema
    header = ModelCardData(
        library_name="grap_seq",
        pipeline_tag="feature-extraction",
        license=licence or "other",
        tags=["event-sequences", "embeddings", "grap_seq"],
    )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    evaluations = [run.evaluation, *run.further.values()]
    weights = None if run.weights is None else columns(run.weights, "weight")
    text = environment.get_template("card.md").render(
        name=name,
        version=__version__,
        schema=schema,
        size=model.model.embedding_size,
        columns=list(_columns(model)),
        predicts=predicts(model),
        splits=_splits(model.run),
        encoder=model.description["encoder"]["name"],
        pooling=model.description["pooling"],
        weighting=run.weighting if run.config is not None else None,
        trained=" ".join(sentences(model.description["training"])),
        weights={} if weights is None or weights.empty else weights.iloc[-1].to_dict(),
        scores=[_scores(found) for found in evaluations if found is not None],
        licence=NO_LICENCE if licence is None else _code(licence),
    )
    return f"---\n{header.to_yaml()}\n---\n\n{text}"


def _code(name: str) -> str:
    """A name of the data as code, which can end neither that nor a cell of a table."""
    return f"`{name.replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _columns(model: EmbeddingModel) -> Iterator[tuple[str, str]]:
    """Raw columns, each with a few words."""
    spec = model.coder.state.spec
    yield spec.id, "whose event it is"
    kind = "a date" if model.coder.state.time_kind == "timestamp" else f"in {spec.time_unit}s"
    yield spec.time, f"when it happened, {kind}"
    for name in spec.categorical:
        yield name, "a category"
    for name in spec.numerical:
        yield name, "a number"
    for name in spec.static.names:
        yield name, "one value for all events of an id"


def _splits(run: Path) -> Mapping[str, Any]:
    """Counts of the folder that it was trained on, where that is still there."""
    if not (run / "config.yaml").is_file():
        return {}
    prepared = Path(config_of(run)["prepared"])
    if not (prepared / MANIFEST).is_file():
        return {}
    found = Manifest.load(prepared).splits
    return {split: found[split] for split in SPLITS if split in found}


def _scores(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "said": said(evaluation),
        "protocol": protocol(evaluation),
        "metric": METRIC_NAMES[evaluation["metric"]],
        "test": evaluation["test"],
        "std": evaluation["std"],
    }
