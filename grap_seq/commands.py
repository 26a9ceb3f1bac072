"""The commands of the command line, from settings as they are typed to what they have written.

Commands import what they need when they run, so that help is immediate.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grap_seq import config
from grap_seq.prepared_settings import with_backbone, with_dataset, with_name
from grap_seq.stored_run import (
    config_of,
    config_of_sequences,
    goes_on,
    going_on,
    is_of_images,
    prepared_of,
)
from grap_seq.usage import next_command

Command = Callable[[list[str]], object]


def _say(text: Any) -> None:
    from grap_seq.terminal import say

    say(text)


def prepare(arguments: list[str]) -> Path:
    """raw tables -> parquet, one row a sequence"""
    if "--suggest" in arguments:
        from grap_seq.suggesting import suggest

        written, going_on = suggest([a for a in arguments if a != "--suggest"])
        _say(f"Wrote {written}. Check it, then: {going_on}")
        return written
    return _prepare(config.compose("prepare", with_name(arguments)))


def _prepare(settings: Any) -> Path:
    from grap_seq.prep.prepare import prepare as run

    given = (settings.spec, settings.like)
    spec, like = (None if value is None else Path(value) for value in given)
    manifest = run(
        settings.dataset.recipe,
        Path(settings.output),
        source=settings.source,
        spec=spec,
        like=like,
        until=settings.until,
        engine=settings.engine,
        memory_limit=settings.memory_limit,
        threads=settings.threads,
        spark=dict(settings.spark),
        strict=settings.strict,
        overwrite=settings.overwrite,
    )
    _say(manifest)
    return Path(settings.output)


def pretrain(arguments: list[str]) -> Path:
    """a prepared folder -> a run folder with a model and its weights"""
    if several := {"-m", "--multirun"} & {*arguments}:
        from grap_seq.experiments.multirun import multirun

        runs = multirun([word for word in arguments if word not in several])
        _say(f"Runs: {len(runs)} in {runs[0].parents[1]}.")
        return runs[0].parents[1]
    whole = with_dataset(arguments)
    settings = going_on(config.compose("pretrain", whole), arguments)
    from grap_seq.training.launched import joined

    with joined(settings):
        run = _pretrain(settings, whole)
        _say(f"Run: {run}. Next: {next_command('embed', run=run)}")
    return run


def _pretrain(settings: Any, arguments: list[str]) -> Path:
    if not (Path(settings.prepared) / "manifest.json").is_file():
        typed = {argument.partition("=")[0] for argument in arguments}
        known = settings.dataset.name if typed & {"dataset", "experiment"} else "NAME"
        if settings.dataset.name != "flights" or ("prepared" in typed and known == "NAME"):
            raise FileNotFoundError(
                f"{settings.prepared} is not a prepared folder; make it with `grap-seq prepare"
                f" dataset={known} source=... output={settings.prepared}`"
            )
        _prepare(config.compose("prepare", ["dataset=flights", f"output={settings.prepared}"]))
    from grap_seq.unlabelled import fitted

    if not goes_on(settings):
        settings = fitted(settings, arguments)
    if settings.mode == "supervised":
        from grap_seq.training.finetune import supervised as train
    else:
        from grap_seq.training.pretrain import pretrain as train

    return train(settings)


def finetune(arguments: list[str]) -> Path:
    """a run -> a run whose encoder has learned the label"""
    settings = config.compose("finetune", arguments)
    prepared_of(Path(settings.run), settings.prepared)
    from grap_seq.training.finetune import finetune as train
    from grap_seq.training.finetune import settings_of
    from grap_seq.training.launched import joined

    typed = [argument for argument in arguments if not argument.startswith("run=")]
    whole = going_on(settings_of(settings), typed)
    with joined(whole):
        run = train(whole)
        _say(f"Run: {run}. Next: {next_command('embed', run=run)}")
    return run


def embed(arguments: list[str]) -> Path:
    """a run -> embeddings parquet, one row a sequence"""
    settings = config.compose("embed", arguments)
    run = Path(settings.run)
    prepared = prepared_of(run, settings.prepared)
    from grap_seq.evaluation.embed_run import embed_run

    output, complete = embed_run(run, prepared, settings)
    if not complete:
        _say(f"Shard: {output}. The same command without shard= joins all of them.")
        return output
    given = settings.output is not None
    _say(
        f"Embeddings: {output}." + ("" if given else f" Next: {next_command('evaluate', run=run)}")
    )
    return output


def evaluate(arguments: list[str]) -> Path:
    """LightGBM on embeddings, on plain aggregates, on both, and on an untrained encoder"""
    settings = config.compose("evaluate", arguments)
    run = Path(settings.run)
    prepared = prepared_of(run, settings.prepared)
    options = config_of(run)["dataset"]["boosting"]
    output = run if settings.output is None else Path(settings.output)
    if settings.store and output != run:
        raise ValueError(
            "store=true puts the classifier into the run, where grap_seq.load finds it: leave out"
            " output="
        )
    from grap_seq.evaluation import protocol
    from grap_seq.evaluation.boosting import Boosting
    from grap_seq.evaluation.stored_trees import folder_of
    from grap_seq.evaluation.table import show
    from grap_seq.schema import Schema

    schema = Schema.load(prepared)
    chosen = schema.labels if settings.label is None else [schema.label(settings.label)]
    for label in chosen or [None]:
        folder = output if label is None else output / folder_of(label, schema)
        result = protocol.evaluate(
            run,
            prepared,
            label=None if label is None else label.name,
            folds=settings.folds,
            within=list(settings.within),
            seed=settings.seed,
            seeds=settings.seeds,
            threads=settings.threads,
            boosting=Boosting.from_config(options, dict(settings.boosting)),
            poolings=settings.poolings,
            logistic=settings.logistic,
            head=settings.head,
            label_fractions=list(settings.label_fractions),
            all_labels=settings.all_labels,
            store=settings.store,
            output=folder,
        )
        show(result)
        _say(f"Written to {folder / 'evaluation.json'}.")
    if output == run:
        _say(f"Next: {next_command('report', run=run)}")
    return output


def report(arguments: list[str]) -> Path:
    """one HTML page of a run, or of several (runs=): tables, curves, weights, cost, embeddings"""
    settings = config.compose("report", arguments)
    if (settings.run is None) == (settings.runs is None):
        raise ValueError(
            "report needs run=... for the page of a run, or runs=[...] to compare some"
        )
    if settings.runs is not None:
        written = _compare(settings)
    elif settings.output is not None:
        raise ValueError("output= is of a comparison (runs=[...]); a run's page lies in the run")
    else:
        run = Path(settings.run)
        written = _report(run, settings.prepared)
    _say(f"Report: {written}")
    return written


def _report(run: Path, prepared: str | None) -> Path:
    known = config_of(run)
    folder = None if is_of_images(known) else prepared_of(run, prepared)
    from grap_seq.pages import report as write
    from grap_seq.pages.image_page import report_images
    from grap_seq.trackers import chosen

    trackers = chosen(known.get("tracker", "csv"))
    page = report_images(run) if folder is None else write(run, folder)
    if trackers:
        from grap_seq.trackers.background import attach

        attach(trackers, run, page)
    return page


def _compare(settings: Any) -> Path:
    from grap_seq.pages.comparison import compare

    names = [settings.runs] if isinstance(settings.runs, str) else list(settings.runs)
    return compare(names, None if settings.output is None else Path(settings.output))


def export(arguments: list[str]) -> Path:
    """a run -> one file for ONNX Runtime or torch.export, and what codes events for it"""
    settings = config.compose("export", arguments)
    run = Path(settings.run)
    config_of_sequences(run)
    from grap_seq.evaluation.load import load
    from grap_seq.export.write import export as write

    folder = run / "export" if settings.output is None else Path(settings.output)
    files = write(load(run, device="cpu", warm=False), folder, settings.format)
    _say(f"Written: {' and '.join(map(str, files))}.")
    return folder


def serve(arguments: list[str]) -> None:
    """a run as a service over HTTP"""
    settings = config.compose("serve", arguments)
    run = Path(settings.run)
    config_of_sequences(run)
    from grap_seq.serving.serve import serve as listen

    listen(
        run,
        host=settings.host,
        port=settings.port,
        megabytes=settings.body_megabytes,
        waiting=settings.waiting,
        device=settings.device,
        threads=settings.threads,
    )


def push(arguments: list[str]) -> str:
    """a run -> a repository of the Hugging Face hub, with a model card"""
    settings = config.compose("push", arguments)
    run = Path(settings.run)
    config_of_sequences(run)
    from grap_seq.evaluation.load import load

    model = load(run, device="cpu", warm=False)
    address = model.push_to_hub(settings.to, private=settings.private, license=settings.license)
    _say(f'Pushed: {address}. Elsewhere: grap_seq.load("{settings.to}")')
    return address


def download(arguments: list[str]) -> None:
    """raw files of an open dataset, from their owner or a mirror"""
    settings = config.compose("download", arguments)
    from grap_seq.prep.fetch.download import download as fetch

    folder = fetch(settings.dataset.name, Path(settings.output))
    _say(f"Next: {next_command('prepare', dataset=settings.dataset.name, source=folder)}")


def synth(arguments: list[str]) -> None:
    """artificial raw files in a dataset's schema"""
    settings = config.compose("synth", arguments)
    from grap_seq.prep.fetch.synth import synth as write

    folder = write(settings.dataset.name, Path(settings.output), settings.rows, settings.seed)
    _say(f"Next: {next_command('prepare', dataset=settings.dataset.name, source=folder)}")


def validate(arguments: list[str]) -> None:
    """whether a prepared folder, or a run, is complete and undamaged"""
    settings = config.compose("validate", arguments)
    from grap_seq.prep.folder.validate import validate as check
    from grap_seq.prep.folder.validate import validate_run

    if settings.run is not None:
        files = validate_run(Path(settings.run))
        _say(f"{settings.run} is undamaged: {files} files are as they were written.")
        return
    _say(check(Path(settings.prepared)))
    _say(f"{settings.prepared} is complete and consistent.")


def reproduce(arguments: list[str]) -> None:
    """a table of the paper: many runs, and their scores beside one another"""
    only_listed = "--dry-run" in arguments
    settings = config.compose("reproduce", [a for a in arguments if a != "--dry-run"])
    from grap_seq.experiments.reproduce import listed
    from grap_seq.experiments.reproduce import reproduce as run

    if only_listed:
        _say(listed(settings))
        return
    command = shlex.join(["grap-seq", "reproduce", *arguments])
    for path in run(settings, command):
        _say(f"Written: {path}.")


def tune(arguments: list[str]) -> dict[str, Any]:
    """constant weights of the losses, or a method's own options, by search with Optuna"""
    settings = config.compose("tune", arguments)
    from grap_seq.experiments.tune import tune as search

    found, path = search(settings)
    start = "" if found.start is None else f", of the first one {found.start:.4f}"
    test = "" if found.test is None else f" (test {found.test:.4f})"
    pruned = f" and {found.pruned} that were pruned" if found.pruned else ""
    _say(
        f"Best of {found.trials} trials{pruned} on validation data: {found.validation:.4f}{start}"
        f"{test}. {found.seconds:.0f} seconds, as many as {found.runs:.1f} runs."
        f" Written: {path}."
    )
    _say(f"Next: {shlex.join(['grap-seq', 'pretrain', *found.settings])}")
    return asdict(found)


def vision(arguments: list[str]) -> Path:
    """images -> a run folder with a backbone that was trained by All4One, and its linear probe"""
    settings = going_on(config.compose("vision", with_backbone(arguments)), arguments)
    from grap_seq.training.launched import joined
    from grap_seq.vision.build import source
    from grap_seq.vision.train import train

    with joined(settings, source):
        run = train(settings)
        _say(f"Run: {run}. Next: {next_command('report', run=run)}")
    return run


def cite(arguments: list[str]) -> None:
    """BibTeX of this version and of the paper"""
    if arguments:
        raise ValueError(f"cite takes no settings; leave out {' '.join(arguments)}")
    from grap_seq.cite import bibtex

    print(bibtex())


def demo(arguments: list[str]) -> None:
    """flights, from raw table to report: prepare, pretrain, embed, evaluate, report"""
    run = pretrain(arguments)
    embed([f"run={run}"])
    evaluate([f"run={run}", "folds=5"])
    report([f"run={run}"])


COMMANDS: dict[str, Command] = {
    "prepare": prepare,
    "pretrain": pretrain,
    "finetune": finetune,
    "embed": embed,
    "evaluate": evaluate,
    "report": report,
    "export": export,
    "serve": serve,
    "push": push,
    "download": download,
    "synth": synth,
    "validate": validate,
    "reproduce": reproduce,
    "tune": tune,
    "vision": vision,
    "demo": demo,
    "cite": cite,
}
