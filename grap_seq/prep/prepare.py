"""Prepare a dataset: from a source to a folder of coded sequences.

All work happens in `<output>.partial`, which becomes `<output>` only when it is complete. A run
that was killed continues if nothing about its input changed; otherwise it starts again.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn

from grap_seq.prep.describe.recipes import Recipe, load_recipe
from grap_seq.prep.engines.connect import connect, versions
from grap_seq.prep.fetch.address import as_source, fetch
from grap_seq.prep.fetch.remote import shown
from grap_seq.prep.folder.disk import TooLittleDisk, check_disk
from grap_seq.prep.folder.gaps import doubtful, median_gap
from grap_seq.prep.folder.manifest import Manifest, differences, files_of
from grap_seq.prep.folder.output import check_output, continue_or_clear, locked, replace
from grap_seq.prep.folder.state import State
from grap_seq.prep.folder.unseen import count_unseen
from grap_seq.prep.stages.buckets import Buckets
from grap_seq.prep.stages.counts import check_splits, count, with_classes, without_labels
from grap_seq.prep.stages.fitted import fitted
from grap_seq.prep.stages.label_source import label_path
from grap_seq.prep.stages.parts import part_paths, write_bucket
from grap_seq.prep.stages.reading import read
from grap_seq.prep.stages.sequences import find_sequences
from grap_seq.prep.stages.usable import Usable
from grap_seq.prep.stages.work import Work
from grap_seq.terminal import progress

MAX_SOURCE_NAMES = 20


def prepare(
    recipe: str,
    output: Path,
    *,
    source: Path | str | None = None,
    spec: Path | None = None,
    like: Path | None = None,
    until: str | float | None = None,
    engine: str = "duckdb",
    memory_limit: str = "2GB",
    threads: int | None = None,
    spark: Mapping[str, Any] | None = None,
    strict: bool = True,
    overwrite: bool = False,
) -> Manifest:
    """Prepare the dataset `recipe` into the folder `output`.

    Args:
        source: raw files, where the recipe needs some; text such as "s3://bucket/events/" is an
            address, whose files are fetched into `<output>.source` and kept until all is done.
        spec: YAML description; for `table` by default the one beside the source.
        like: prepared folder or run whose vocabularies, scalers and classes code the new data, so
            that its models can read them; nothing is fitted. Labels may then be missing; where all
            are, every sequence is in the split `test`.
        until: up to when histories were observed, in place of what the description says.
        memory_limit: what the engine may hold in memory; beyond it, it uses the disk.
        spark: settings of Spark, for engine=spark: see `engine.connect`.
        strict: stop at the first bad row; otherwise drop such rows and count them.
        overwrite: replace an earlier prepared folder once the new one is complete.

    Returns:
        The manifest; printed with rich, it is a short summary.

    Raises:
        FileExistsError: `output` exists, or another preparation is writing it.
        FileNotFoundError: the source or the description is missing.
        OSError: the disk is too small for what is needed, or was filled meanwhile.
        ValueError: bad input; the message names file, row and column.
        ConnectionError: an address that cannot be read.
    """
    if like is not None and output.resolve() == like.resolve():
        raise ValueError(f"like={like} is also the output; name another folder with output=")
    check_output(output, overwrite)
    partial = output.with_name(output.name + ".partial")
    fetched, origin = output.with_name(output.name + ".source"), None
    source = None if source is None else as_source(source)
    if isinstance(source, str):
        origin = shown(source)
        with locked(partial):
            source = fetch(source, fetched, recipe, spec, like)
    chosen = load_recipe(recipe, source, spec, like)
    if until is not None:
        given = chosen.spec.with_until(until, fitted=like is not None)
        chosen = dataclasses.replace(chosen, spec=given)
    stored = None if like is None else State.load(like)
    files = chosen.files(source)
    fingerprint = _fingerprint(chosen, files, engine, strict, stored)
    with locked(partial):
        folder = partial / "work"
        try:
            continue_or_clear(partial, folder, fingerprint)
            connection = connect(
                engine,
                memory_limit=memory_limit,
                threads=threads,
                temporary=folder / "spill",
                spark=spark,
            )
            try:
                work = Work(folder, connection, chosen, strict, files, stored)
                check_disk(files, work.store.held, partial)
                manifest = _run(work, partial, source, files, engine, origin)
            finally:
                connection.disconnect()
        except (ValueError, FileNotFoundError):
            # The input has to change, so nothing of this can be used again.
            shutil.rmtree(partial, ignore_errors=True)
            raise
        except TooLittleDisk:
            raise
        except OSError as error:
            if error.errno != errno.ENOSPC and "No space left" not in str(error):
                raise
            raise OSError(
                errno.ENOSPC,
                f"no space left while writing {partial}; an earlier {output} is untouched. Free "
                "some space and run the same command again: it continues",
            ) from error
        shutil.rmtree(folder)
        check_output(output, overwrite)
        replace(partial, output)
    if origin is not None:
        shutil.rmtree(fetched)
    return manifest


def _run(
    work: Work,
    partial: Path,
    source: Path | None,
    files: list[Path],
    engine: str,
    origin: str | None,
) -> Manifest:
    with progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as shown:
        task = shown.add_task(f"{work.spec.name}: reading events", total=None)
        reading = read(work, source)
        shown.update(task, description=f"{work.spec.name}: sequences and labels")
        usable = Usable(work, reading.time)
        with work.connection.clear_errors("finding sequences and labels"):
            sequences = find_sequences(work, usable)
            counts = count(work.connection, sequences, work.spec)
        new = work.stored is None
        warnings = check_splits(work.spec, counts) if new else without_labels(counts, work.spec)
        shown.update(task, description=f"{work.spec.name}: buckets")
        number = work.connection.to_pyarrow(sequences["__bucket"].max()).as_py() + 1
        buckets = Buckets(work, number)
        buckets.fill(usable, sequences)
        shown.update(task, description=f"{work.spec.name}: vocabularies")
        state = fitted(work, buckets, sequences, reading)
        state.save(partial)
        schema = state.schema()
        schema.save(partial)
        total = sum(split["sequences"] for split in counts.values())
        mean = sum(split["events"] for split in counts.values()) / total
        shown.update(task, description=f"{work.spec.name}: sequences", total=number)
        for bucket in range(number):
            if not all(path.exists() for path in part_paths(partial, bucket).values()):
                write_bucket(buckets, sequences, state, bucket, partial, mean)
            buckets.forget(bucket)
            shown.advance(task)
    splits = with_classes(counts, state.labels, work.spec)
    expected = work.recipe.expected(source) if new else {}
    vocabularies = {name: len(values) for name, values in state.categorical.items()}
    if new and (doubt := doubtful(median_gap(partial), schema.time_unit)) is not None:
        warnings.append(doubt)
    unseen = {} if new else count_unseen(partial, schema)
    dropped = {**reading.dropped, **work.problems.counts}
    manifest = Manifest(
        dataset=work.spec.name,
        splits=splits,
        dropped=dropped,
        source=_source(files, origin),
        files=files_of(partial),
        spec_hash=hashlib.sha256(_text(work.spec.to_dict()).encode()).hexdigest(),
        schema_hash=schema.hash,
        versions=versions(engine),
        warnings=warnings,
        differences=differences(splits, dropped, vocabularies, expected),
        unseen=unseen,
        recipe=work.recipe.name,
    )
    manifest.save(partial)
    return manifest


def _fingerprint(
    recipe: Recipe, files: list[Path], engine: str, strict: bool, stored: State | None
) -> dict[str, Any]:
    label_file = label_path(recipe)
    # A missing label file is reported when it is read.
    extra = [label_file] if label_file is not None and label_file.is_file() else []
    paths = [*files, *extra, recipe.folder / "recipe.py"]
    return {
        "spec": json.loads(_text(recipe.spec.to_dict())),
        "files": [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in paths],
        "versions": versions(engine),
        "strict": strict,
        "stored": None if stored is None else json.loads(_text(stored.to_dict())),
    }


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def _source(files: list[Path], origin: str | None) -> dict[str, Any]:
    names = [path.name for path in files]
    return {
        **({} if origin is None else {"address": origin}),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "names": names[:MAX_SOURCE_NAMES],
    }
