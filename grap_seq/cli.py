"""The command line: `grap-seq COMMAND key=value ...`.

Commands import what they need when they run, so that help is immediate.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grap_seq import __version__, classes, config, errors
from grap_seq.names import nearest
from grap_seq.onednn import bound_caches
from grap_seq.prepared_settings import with_dataset, with_name
from grap_seq.stored_run import config_of, goes_on, going_on, prepared_of
from grap_seq.usage import OPTIONS, next_command, usage

# What `prepare --suggest` need not guess.
KNOWN = ("id", "time", "label", "labels")
Command = Callable[[list[str]], object]


def _say(text: Any) -> None:
    from grap_seq.terminal import say

    say(text)


def prepare(arguments: list[str]) -> Path:
    """raw tables -> parquet, one row a sequence"""
    if "--suggest" in arguments:
        return _suggest([a for a in arguments if a != "--suggest"])
    return _prepare(config.compose("prepare", with_name(arguments)))


def _suggest(arguments: list[str]) -> Path:
    from grap_seq.prep.describe.guess import Known
    from grap_seq.prep.describe.suggest import suggest
    from grap_seq.prep.fetch.address import as_source
    from grap_seq.prep.fetch.remote import shown

    said = [a.partition("=")[::2] for a in arguments if a.partition("=")[0] in KNOWN]
    known = dict(said)
    settings = config.compose("prepare", [a for a in arguments if a.partition("=")[0] not in known])
    if settings.source is None:
        raise ValueError("--suggest looks at a table: name it with source=FILE")
    source = as_source(settings.source)
    if isinstance(source, str):
        raise ValueError(
            f"--suggest looks at a table on this machine: copy one part of {shown(source)}, "
            "name that, and give the description that it writes with spec=FILE"
        )
    label, labels = known.get("label"), known.get("labels")
    written = suggest(
        source,
        None if settings.spec is None else Path(settings.spec),
        Known(
            known.get("id"),
            known.get("time"),
            None if label is None else _several(label),
            None if labels is None else Path(labels).expanduser(),
        ),
    )
    going_on = next_command("prepare", dataset="table", source=source)
    _say(f"Wrote {written}. Check it, then: {going_on}")
    return written


def _several(text: str) -> tuple[str, ...]:
    """One name, or those of a list such as [a,b]."""
    several = text.startswith("[") and text.endswith("]")
    return tuple(name.strip() for name in text[1:-1].split(",")) if several else (text,)


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
        given = any(argument.startswith("prepared=") for argument in arguments)
        if settings.dataset.name != "flights" or (given and "dataset=flights" not in arguments):
            raise FileNotFoundError(
                f"{settings.prepared} is not a prepared folder; make it with"
                f" `grap-seq prepare dataset={settings.dataset.name} source=...`"
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
        prepared = prepared_of(run, settings.prepared)
        written = _report(run, prepared)
    _say(f"Report: {written}")
    return written


def _report(run: Path, prepared: Path) -> Path:
    from grap_seq.report import report as write
    from grap_seq.trackers import chosen

    trackers = chosen(config_of(run).get("tracker", "csv"))
    page = write(run, prepared)
    if trackers:
        from grap_seq.trackers.background import attach

        attach(trackers, run, page)
    return page


def _compare(settings: Any) -> Path:
    from grap_seq.report.comparison import compare

    names = [settings.runs] if isinstance(settings.runs, str) else list(settings.runs)
    return compare(names, None if settings.output is None else Path(settings.output))


def export(arguments: list[str]) -> Path:
    """a run -> one file for ONNX Runtime or torch.export, and what codes events for it"""
    settings = config.compose("export", arguments)
    run = Path(settings.run)
    config_of(run)
    from grap_seq.evaluation.model import load
    from grap_seq.export.write import export as write

    folder = run / "export" if settings.output is None else Path(settings.output)
    files = write(load(run, device="cpu"), folder, settings.format)
    _say(f"Written: {' and '.join(map(str, files))}.")
    return folder


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
    _say(
        f"Best of {found.trials} trials on validation data: {found.validation:.4f}{start}"
        f" (test {found.test:.4f}). {found.seconds:.0f} seconds, as many as {found.runs:.1f} runs."
        f" Written: {path}."
    )
    _say(f"Next: {shlex.join(['grap-seq', 'pretrain', *found.settings])}")
    return asdict(found)


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
    "download": download,
    "synth": synth,
    "validate": validate,
    "reproduce": reproduce,
    "tune": tune,
    "demo": demo,
    "cite": cite,
}


def main() -> None:
    """Entry point; exit codes are 0, 2 for an error that the user can mend, 1 for one of ours, 130.

    An error is one line. `--debug` shows the traceback instead.
    """
    bound_caches()
    arguments = sys.argv[1:]
    try:
        run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(errors.report(error, " ".join(arguments[:1]), "--debug" in arguments))


def run(arguments: list[str]) -> None:
    """Run a command line: a command with its settings, and options anywhere.

    Raises:
        ValueError: no such command or option.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    # Of `main`, which reports what is raised here.
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--allow-class", action="append", default=[])
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true")
    loudness.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("-sc", dest="completion")
    try:
        options, words = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error
    classes.allow(*options.allow_class)
    if options.version:
        print(__version__)
        return
    if options.completion:
        from grap_seq.completion import answer

        print(answer(options.completion, COMMANDS))
        return
    if not words:
        print(usage(COMMANDS))
        return
    name, *settings = words
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: {nearest(name, list(COMMANDS))}")
    # A new setting and another value of one are written alike here.
    settings = [word.lstrip("+") for word in settings]
    if options.help or options.cfg:
        _say(_help(name, settings) if options.help else _config(name, settings))
        return
    from grap_seq import log_file
    from grap_seq.terminal import SCREEN

    screen = SCREEN.of_command(quiet=options.quiet, verbose=options.verbose)
    with screen, log_file.of_command(arguments):
        COMMANDS[name](settings)


def _help(name: str, settings: list[str]) -> Any:
    from rich.console import Group

    from grap_seq.help import settings_of

    head = f"usage: grap-seq {name} key=value ...\n\n{COMMANDS[name].__doc__}\n"
    return Group(head, settings_of(config_name(name), settings), f"\n{OPTIONS}")


def _config(name: str, settings: list[str]) -> str:
    import yaml

    if name == "pretrain":
        settings = with_dataset(settings)
    values = config.composed(config_name(name), settings).values
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def config_name(command: str) -> str:
    """The config whose settings a command takes.

    Raises:
        ValueError: it takes none.
    """
    if command == "cite":
        raise ValueError("cite takes no settings: grap-seq cite")
    return "pretrain" if command == "demo" else command
