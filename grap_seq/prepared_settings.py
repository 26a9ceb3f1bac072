"""What a command need not be told, because a description, a config or a folder says it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from grap_seq import choices, resources
from grap_seq.files import file_name
from grap_seq.names import nearest
from grap_seq.terminal import say

TABLE = "table"


def with_name(arguments: Sequence[str]) -> list[str]:
    """The arguments of `prepare`, with the name in a table's description as that of its folder.

    Args:
        arguments: `key=value` as typed.

    Raises:
        ValueError: the description cannot be read.
    """
    typed = dict(argument.partition("=")[::2] for argument in arguments)
    if typed.get("dataset") != TABLE or typed.keys() & {"output", "dataset.name", "like"}:
        return list(arguments)
    spec = _description(typed)
    if spec is None or not spec.is_file():
        return list(arguments)
    from grap_seq.prep.describe.spec import DatasetSpec

    return [*arguments, f"dataset.name={file_name(DatasetSpec.load(spec).name)}"]


def _description(typed: Mapping[str, str]) -> Path | None:
    """Where a table's description is."""
    from grap_seq.prep.describe.recipes import suggested_path
    from grap_seq.prep.fetch.address import as_source
    from grap_seq.prep.read.files import is_glob

    if "spec" in typed:
        return Path(typed["spec"]).expanduser()
    source = as_source(typed.get("source", ""))
    if isinstance(source, str) or is_glob(source) or not typed.get("source"):
        return None
    return suggested_path(source.expanduser())


def with_dataset(arguments: Sequence[str]) -> list[str]:
    """The arguments of `pretrain`, with the dataset that `prepared=` holds and its name.

    Nothing takes the place of what was typed; a dataset that is not the folder's is said.

    Args:
        arguments: `key=value` as typed.

    Raises:
        ValueError: the folder's manifest is damaged.
    """
    typed = dict(argument.partition("=")[::2] for argument in arguments)
    folder = Path(os.path.expanduser(typed.get("prepared", "")))
    if "prepared" not in typed or not (folder / "manifest.json").is_file():
        return list(arguments)
    from grap_seq.prep.folder.manifest import Manifest

    manifest = Manifest.load(folder)
    known, dataset = choices.names("dataset"), manifest.recipe or manifest.dataset
    dataset = dataset if dataset in known else TABLE
    given = typed.get("dataset", dataset)
    if given != dataset and given in known:
        say(
            f"{folder} was prepared with dataset={dataset}; the settings of dataset={given} are"
            " used, as typed."
        )
    found = list(arguments)
    if not typed.keys() & {"dataset", "experiment"}:
        found.append(f"dataset={dataset}")
    if given == TABLE and "dataset.name" not in typed:
        # It is part of the run's default name.
        found.append(f"dataset.name={file_name(manifest.dataset)}")
    return found


def with_backbone(arguments: Sequence[str]) -> list[str]:
    """The arguments of `vision`, with the backbone that the images' config names.

    Args:
        arguments: `key=value` as typed.
    """
    typed = dict(argument.partition("=")[::2] for argument in arguments)
    if "backbone" in typed or typed.get("data") not in choices.names("data"):
        return list(arguments)
    return [*arguments, f"backbone={backbone_of(typed['data'])}"]


def backbone_of(data: str) -> str:
    """The backbone that the config of images names.

    Raises:
        ValueError: there is no such config.
    """
    if data not in choices.names("data"):
        raise ValueError(f"data={data}: {nearest(data, choices.names('data'))}")
    path = resources.folder("configs") / "data" / f"{data}.yaml"
    return str(yaml.safe_load(path.read_text("utf-8"))["backbone"])
