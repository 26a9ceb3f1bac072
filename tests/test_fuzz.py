"""Malformed calls of every command: exit code 2, one line that names the setting or file, nothing
written. And calls that look odd and are right.
"""

from __future__ import annotations

import copy
import itertools
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grap_seq import cli, config, resources
from tests.shop import SPEC, write_shop

pytestmark = pytest.mark.xdist_group("fuzz")

SMALL = [
    *("dataset=table", "dataset.hidden=8", "event_width=8", "epochs=1", "batch_size=16"),
    *("select=last", "trainer.threads=1"),
]
# A call of every command that would work, as far as this world goes.
RIGHT = {
    "prepare": ["dataset=table", "source=events.csv", "output=out"],
    "pretrain": [*SMALL, "prepared=prepared", "run=out", "trainer.max_steps=1"],
    "finetune": ["run=run", "output=out", "epochs=1", "trainer.threads=1"],
    "embed": ["run=run", "output=out", "threads=1"],
    "evaluate": ["run=run", "output=out", "folds=2", "threads=1"],
    "report": ["run=run"],
    "download": ["dataset=mimic3", "output=out"],
    "synth": ["dataset=churn", "output=out", "rows=500"],
    "validate": ["prepared=prepared"],
    "demo": [*SMALL, "prepared=prepared", "run=out"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a prepared folder and a run with embeddings."""
    folder = tmp_path_factory.mktemp("world")
    source = write_shop(folder)
    prepared, run = f"prepared={folder / 'prepared'}", f"run={folder / 'run'}"
    cli.prepare(["dataset=table", f"source={source}", f"output={folder / 'prepared'}"])
    cli.pretrain([*SMALL, prepared, run])
    cli.embed([run, "threads=1"])
    (folder / "file.txt").write_text("a file")
    return folder


class Terminal:
    """Runs command lines in a folder, as the shell would."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what was printed to stderr."""
        self.monkeypatch.setattr(sys, "argv", ["grap-seq", *arguments])
        self.capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, self.capsys.readouterr().err

    def refuses(self, *arguments: str, naming: str) -> None:
        """The call ends with exit code 2 and one line with `naming` in it, and writes nothing."""
        before = self._files()
        code, printed = self.run(*arguments)
        after = self._files()
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        assert (code, printed.count("\n")) == (2, 1), printed
        assert naming in printed
        assert "Traceback" not in printed
        assert after == before

    def _files(self) -> dict[Path, int]:
        # A lock is taken to look, and a cache holds no result.
        return {
            path: path.stat().st_mtime_ns
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != ".lock" and ".cache" not in path.parts
        }


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra needs a while for each composition, and there are few different ones."""
    monkeypatch.setattr(hydra, "compose", lambda *given: copy.deepcopy(compose(*given)))


compose_anew = hydra.compose


def compose(name: str, overrides: list[str]) -> Any:
    """What Hydra makes of a config's name and choices."""
    # The user's own files differ from test to test.
    own = any(override.startswith("hydra.") for override in overrides)
    return compose_anew(name, overrides) if own else compose_once(name, tuple(overrides))


@cache
def compose_once(name: str, overrides: tuple[str, ...]) -> Any:
    return compose_anew(name, list(overrides))


@pytest.fixture
def terminal(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(world, monkeypatch, capsys)


def leaves(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings of a config's YAML by dotted name, as they stand there."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def of_kind(value: Any) -> list[str]:
    """What cannot stand where this value does, from its type alone."""
    if isinstance(value, bool):
        return ["maybe", "2", "null", "[true]"]
    if isinstance(value, int):
        return ["x", "1.5", "-7", "99999999999", "nan", "true", "null", "[1]", "{a: 1}", "1,2"]
    if isinstance(value, float):
        return ["x", "nan", "-0.5", "1e300", "inf", "true", "null", "[0.1]", "'0.1'"]
    if isinstance(value, list):
        return ["x", "5", "null", "{a: 1}"]
    return ["5", "null", "[a]", "x"] if value == {} else []


def every_setting() -> list[tuple[str, str, str]]:
    """(command, setting, wrong value): every setting of the shipped configs, each with two."""
    folder, found = resources.folder("configs"), []
    turns = itertools.count()
    for command in RIGHT:
        name = "pretrain" if command == "demo" else command
        content = yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))
        given = leaves({key: value for key, value in content.items() if key != "defaults"})
        groups: list[str] = []
        if command == "pretrain":
            groups = ["dataset/table", "encoder/gru", "objective/ntp_coles", "weighting/grap"]
        if command in ("pretrain", "finetune"):
            groups += ["trainer/cpu"]
        for group in groups:
            text = (folder / f"{group}.yaml").read_text("utf-8")
            given |= leaves(yaml.safe_load(text), f"{group.partition('/')[0]}.")
        for key, value in given.items():
            # What `experiment=` sets is not the user's.
            wrong = [] if ".published." in key else of_kind(value)
            count = next(turns)
            chosen = {wrong[(count + step) % len(wrong)] for step in (0, 3)} if wrong else ()
            found += [(command, key, value) for value in sorted(chosen)]
    return found


@pytest.mark.parametrize(("command", "key", "value"), every_setting())
def test_every_setting_refuses_another_kind(
    terminal: Terminal, command: str, key: str, value: str
) -> None:
    terminal.refuses(command, *RIGHT[command], f"{key}={value}", naming=key)


# Of each command, what is typed in addition or instead, and what the message has to name.
TYPED: dict[str, list[tuple[str, str]]] = {
    "prepare": [
        *((f"threads={value}", "threads=") for value in ("0", "-1", "two", "", "[1]", "1,2")),
        *((f"output={value}", "output=") for value in ("null", "", "file.txt", "file.txt/x")),
        *((f"source={value}", "source=") for value in ("null", "")),
        *((f"memory_limit={value}", "memory_limit") for value in ("-5GB", "0GB", "2", "many")),
        *((f"until={value}", "until") for value in ("true", "[a]", "nowhere", "nan", "")),
        *((f"engine={value}", "engine") for value in ("polars", "null", "5")),
        *((f"spark={value}", "spark") for value in ("5", "null", "[a]")),
        *((f"like={value}", value) for value in ("absent", "file.txt", ".")),
        ("source=absent.csv", "absent.csv"),
        ("source=prepared", "prepared.yaml"),
        ("spec=absent.yaml", "absent.yaml"),
        ("spec=file.txt", "file.txt"),
        ("spec=prepared", "prepared"),
        ("output=prepared", "prepared exists"),
        ("like=out", "like=out"),
        ("dataset=churn", "dataset=churn"),
        ("dataset=tabel", "did you mean 'table'"),
        ("dataset=[table]", "dataset=[table]"),
        ("dataset.recipe=../x", "../x"),
        ("configs=absent", "configs=absent"),
        ("configs=", "configs="),
        ("configs=file.txt", "configs=file.txt"),
        ("sourse=events.csv", "did you mean 'source'"),
        ("+threads=1", "+threads"),
        ("~threads", "~threads"),
        ("threads", "key=value"),
        ("=5", "key=value"),
        ("--suggset", "--suggset"),
        ("threads=${nothing}", "threads"),
        ("threads={a: 1}", "threads.a"),
    ],
    "pretrain": [
        *((f"lr={value}", "lr") for value in ("nan", "inf", "1e300", "-1", "fast", "1e400")),
        *((f"trainer.threads={value}", "trainer.threads") for value in ("x", "0", "-3", "two")),
        *((f"run={value}", "run=") for value in ("null", "", "file.txt", "file.txt/x", "a\0b")),
        *((f"prepared={value}", value) for value in ("5", "absent", "file.txt", "run")),
        *(
            (f"objective.losses={value}", "objective.losses")
            for value in ("5", "{a: 5}", "{a: {}}")
        ),
        *((f"dataset.boosting={value}", "dataset.boosting") for value in ("5", "{a: 1}", "[a]")),
        *((f"dataset.crops={value}", "dataset.crops") for value in ("5", "{vies: 3}", "null")),
        *((f"labels.fraction={value}", "labels.fraction") for value in ("0", "2", "0.001")),
        *((f"labels={value}", "labels") for value in ("5", "null", "{nam: a}")),
        *((f"gap_table={value}", "gap_table") for value in ("5", "[1]", "[0,1]", "[a,b]")),
        *((f"objective.targets={value}", "objective.targets") for value in ("next", "[soon]")),
        *((f"dataset.table_widths={value}", "table_widths") for value in ("5", "{kind: 0}")),
        *(
            (f"seed={value}", "seed")
            for value in ("1,2", "range(1,3)", "glob(*)", "[", "é", "9" * 99)
        ),
        *((f"seed={bad * 2000}", "seed=") for bad in ("[", "{a:", "(", "\\")),
        ("dataset.table_widths={nothing: 3}", "nothing"),
        ("dataset.boosting.binary=5", "dataset.boosting.binary=5"),
        ("dataset.boosting.binary.leaves=5", "num_leaves"),
        ("dataset.hidden=100000000", "dataset.hidden"),
        ("objective.losses={a: {class: nothing}}", "nothing"),
        ("objective.losses={kind: {class: a.B}}", "kind"),
        ("encoder.class=os.system", "os.system"),
        ("encoder.class=grap_seq.nn.gru.Nothing", "grap_seq.nn.gru.Nothing"),
        ("weighting.class=os.system", "os.system"),
        ("weighting.normalization=norm", "normalization=norm"),
        ("labels.name=nothing", "nothing"),
        ("objective.coles_head=false", "objective.coles_head"),
        ("run=prepared", "prepared"),
        ("run=run", "run"),
        ("mode=nothing", "mode=nothing"),
        ("encoder=gru,transformer", "encoder=gru,transformer"),
        ("encoder=[gru]", "encoder=[gru]"),
        ("trainer={accelerator: cpu}", "trainer={accelerator: cpu}"),
        ("trainer=cpu,gpu", "trainer=cpu,gpu"),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu"),
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed"),
        ("trainer.devices=100000", "trainer.devices"),
        ("dataset=flights", "dataset=table and dataset=flights"),
        ("experiment=nothing", "experiment=nothing"),
        ("pooling=median", "pooling"),
        ("schedule=linear", "schedule"),
        ("hydra.run.dir=x", "hydra.run.dir"),
        ("run@x=3", "run@x"),
        ("seed[0]=1", "seed[0]"),
        ("dataset..hidden=1", "dataset..hidden"),
        ("séed=1", "séed"),
        ("++seed=1", "++seed"),
        ("configs=prepared", "configs"),
    ],
    "finetune": [
        *((f"run={value}", value) for value in ("absent", "prepared", ".", "5")),
        *((f"run={value}", "run=") for value in ("", "null", "file.txt")),
        *((f"prepared={value}", value) for value in ("absent", "file.txt", "5", "run")),
        *((f"output={value}", value) for value in ("run", "prepared", "file.txt")),
        *((f"lora={value}", "lora") for value in ("5", "{rank: 0}", "{rnk: 1}")),
        *((f"adapters={value}", "adapters") for value in ("some", "lora", "null")),
        ("lora.dropout=1", "lora.dropout"),
        ("lora.alpha=nan", "lora.alpha"),
        ("labels.fraction=0.001", "labels.fraction"),
        ("labels.name=nothing", "nothing"),
        ("warmup=1", "warmup"),
        ("dataset.hidden=3", "dataset.hidden"),
        ("mode=supervised", "mode"),
        ("trainer=tpu", "trainer=tpu"),
    ],
    "embed": [
        *((f"run={value}", value) for value in ("absent", "prepared", ".", "5")),
        *((f"run={value}", "run=") for value in ("", "null", "file.txt")),
        *((f"prepared={value}", value) for value in ("absent", "file.txt", "5", "run", "")),
        *((f"threads={value}", "threads") for value in ("zero", "0", "1.5")),
        *((f"eval_length={value}", "eval_length") for value in ("0", "x")),
        *((f"output={value}", "output=") for value in ("file.txt", "file.txt/x", "")),
        ("label=churned", "label"),
    ],
    "evaluate": [
        *((f"run={value}", value) for value in ("absent", "prepared", ".")),
        *((f"prepared={value}", value) for value in ("absent", "file.txt", "run")),
        *((f"folds={value}", "folds") for value in ("1", "-1", "x", "true", "2.5", "null", "1000")),
        *((f"within={value}", "within") for value in ("train", "[tset]", "[]")),
        *((f"seeds={value}", "seeds") for value in ("0", "x")),
        *(
            (f"label_fractions={value}", "label_fractions")
            for value in ("0.1", "[0]", "[2]", "[x]")
        ),
        *((f"boosting={value}", "boosting") for value in ("5", "{binry: {}}", "{binary: 5}")),
        *((f"threads={value}", "threads") for value in ("zero", "0")),
        ("folds=0 within=[train]", "within"),
        ("boosting.binary.min_data=1", "min_data_in_leaf"),
        ("boosting.binary.bagging_fraction=0", "bagging_fraction"),
        ("boosting.binary.num_leaves=99999999", "num_leaves"),
        ("boosting.multi.num_leaves=3", "multiclass"),
        ("label=nothing", "nothing"),
        ("head=true folds=0", "head"),
        ("output=file.txt", "output=file.txt"),
    ],
    "report": [
        *((f"run={value}", value) for value in ("absent", "prepared", ".")),
        *((f"run={value}", "run=") for value in ("", "null", "file.txt")),
        *((f"prepared={value}", value) for value in ("absent", "file.txt", "run")),
        ("threads=1", "threads"),
    ],
    "download": [
        ("dataset=mimic3", "mimic3"),
        ("output=", "output="),
        ("output=file.txt", "output=file.txt"),
        ("rows=1", "rows"),
    ],
    "synth": [
        *((f"rows={value}", "rows") for value in ("0", "x", "10", "1e3", "99999999999999")),
        *((f"output={value}", value) for value in ("prepared", "file.txt", "null", "file.txt/x")),
        ("seed=-1", "seed"),
        ("dataset.recipe=churn rows=1", "rows"),
    ],
    "validate": [
        *((f"prepared={value}", value) for value in ("absent", "run", "file.txt", ".")),
        *((f"prepared={value}", "prepared=") for value in ("", "null")),
        ("rows=3", "rows"),
    ],
    "demo": [
        *((f"prepared={value}", value) for value in ("absent", "run", "file.txt")),
        ("run=file.txt", "run=file.txt"),
        ("folds=3", "folds"),
        ("epochs=0", "epochs"),
    ],
}


@pytest.mark.parametrize(
    ("command", "typed", "naming"),
    [(command, *entry) for command, entries in TYPED.items() for entry in entries],
)
def test_malformed_calls_are_refused(
    terminal: Terminal, command: str, typed: str, naming: str
) -> None:
    # Two settings are two words; a value in braces may have spaces.
    words = [typed] if "{" in typed else typed.split(" ")
    terminal.refuses(command, *RIGHT[command], *words, naming=naming)


ALONE = [
    ("pretran", "did you mean 'pretrain'"),
    ("Prepare", "did you mean 'prepare'"),
    ("seed=1", "unknown command"),
    ("--suggest", "unknown command"),
    ("prepare --suggest", "source=FILE"),
    ("prepare --suggest source=absent.csv", "absent.csv"),
    ("prepare --suggest source=events.csv", "events.yaml exists"),
    ("prepare dataset=table", "source=FILE"),
    ("prepare dataset=churn source=.", "train"),
    ("prepare dataset=churn source=file.txt", "file.txt"),
    ("prepare dataset=physionet2012 source=.", "set-a"),
    ("prepare dataset=mimic3 source=.", "ADMISSIONS"),
    ("prepare dataset=movielens source=events.csv", "events.csv"),
    ("prepare dataset=flights source=absent", "absent"),
    ("embed", "run="),
    ("evaluate", "run="),
    ("report", "run="),
    ("finetune", "run="),
    ("embed --allow-class", "--allow-class"),
    ("embed run=run --allow-class=x", "'x'"),
    ("embed run=run --allow-class= ", "class"),
    ("embed run=run -x", "-x"),
    ("embed run=run --threads 1", "--threads"),
    ("download dataset=flights", "flights"),
    ("download dataset=table", "table"),
    ("synth dataset=flights", "flights"),
    ("pretrain dataset=churn", "data/churn"),
    ("pretrain weighting=fixed", "weighting.weights="),
    ("pretrain weighting=dwa weighting.temperature=0", "temperature"),
    ("pretrain weighting=dwa weighting.lr=1", "weighting.lr"),
    ("pretrain weighting=gradnorm weighting.alpha=-1", "alpha"),
    ("pretrain weighting=torchjd weighting.options=5", "weighting.options"),
    ("pretrain mode=auxiliary weighting=grap", "weighting=grap"),
    ("pretrain mode=supervised weighting=grap", "weighting=grap"),
    ("pretrain encoder=transformer dataset.transformer.heads=0", "dataset.transformer.heads"),
    ("pretrain encoder=transformer dataset.transformer.layers=0", "dataset.transformer.layers"),
    ("pretrain encoder=transformer encoder.dropout=1", "encoder.dropout"),
    ("pretrain encoder=ht_transformer encoder.placement=nowhere", "encoder.placement"),
    ("pretrain encoder=ht_transformer encoder.positions=[-1]", "encoder.positions"),
    ("pretrain encoder=ptls_rnn encoder.type=tcn", "encoder.type"),
    ("pretrain encoder=gru encoder=transformer", "encoder=transformer"),
    ("pretrain experiment=churn_gru_grap encoder=transformer", "encoder=transformer"),
    ("pretrain configs=.", "configs=."),
]
# As above, with the settings of a run of this world.
IN_TRAINING = [
    ("encoder=transformer dataset.transformer.heads=3", "heads=3"),
    ("encoder=ht_transformer encoder.placement=fixed", "positions"),
    ("weighting=fixed weighting.weights=absent", "absent"),
    ("weighting=fixed weighting.weights=5", "5/weights.parquet"),
    ("weighting=torchjd weighting.method=nothing", "method=nothing"),
    ("objective=coles objective.coles=false", "coles"),
    ("dataset.crops.view_min=0.9 dataset.crops.view_max=0.1", "view_min=0.9"),
    ("epochs=auto min_epochs=5 max_epochs=2", "min_epochs=5"),
    ("run=run resume=true seed=5", "seed"),
    ("run=prepared overwrite=true", "prepared"),
]


@pytest.mark.parametrize(("line", "naming"), ALONE)
def test_malformed_lines_are_refused(terminal: Terminal, line: str, naming: str) -> None:
    terminal.refuses(*line.split(" "), naming=naming)


@pytest.mark.parametrize(("line", "naming"), IN_TRAINING)
def test_settings_that_do_not_fit_are_refused(terminal: Terminal, line: str, naming: str) -> None:
    terminal.refuses("pretrain", *RIGHT["pretrain"], *line.split(" "), naming=naming)


def entries(key: str, *values: Any) -> list[tuple[str, dict[str, Any]]]:
    """Entries of a description, each with the key that the message has to name."""
    return [(key, {key: value}) for value in values]


def within(place: tuple[str, ...], *values: Any) -> list[tuple[str, dict[str, Any]]]:
    """The same inside of others."""
    *above, key = place
    found = entries(key, *values)
    for name in reversed(above):
        found = [(named, {name: change}) for named, change in found]
    return found


DESCRIPTIONS = [
    *entries("split", "abc", 5, [1]),
    *within(("split", "validation"), "abc", {"x": 5}, True, -0.1, 1),
    *within(("split", "test"), "10%", float("nan"), [0.1]),
    *within(("split", "seed"), "abc", 1.5, -1, True),
    *within(("split", "sed"), 1),
    *entries("validation", "abc"),
    *entries("x", 5),
    *entries("numerical", "amount", 5, [5], [["a"]], [None]),
    *within(("numerical", "amount"), 5, [1], "x"),
    *within(("numerical", "amount", "log"), "false", "maybe", 1),
    *within(("numerical", "amount", "clip"), 5, [1], [0.9, 0.1], ["a", 1], [0, 2]),
    *within(("numerical", "amount", "by"), 5, ["kind"], True),
    *within(("numerical", "amount", "lgo"), True),
    ("nothing", {"numerical": {"amount": {"by": "nothing"}}}),
    *entries("labels", ["a"], 5, {"a": 1}, True, "absent.csv"),
    *entries("time_format", 5, ["%Y"], True, "%Q", "abc"),
    *entries("time_unit", ["day"], 5, "days", True, {}),
    *(entry for key in ("name", "id", "time") for entry in entries(key, 5, ["a"], {}, "", True)),
    ("nothing", {"id": "nothing"}),
    ("nothing", {"time": "nothing"}),
    *(e for key in ("relative_time", "unique") for e in entries(key, "false", 1, [True])),
    *entries("local_labels", "maybe", 0),
    *(e for key in ("tie_order", "categorical") for e in entries(key, "kind", 5, [5], {}, [None])),
    *entries("calendar", "hour", ["day"], 5),
    *entries("label", 5, [5], True, {"a": 1}, [["a"]]),
    *entries("label_time", 5, ["a"], True, "when"),
    *entries("until", True, ["a"], {}, float("nan"), "nothing", "customer"),
    *entries("static", "a", 5, ["a"], {"categorical": "a"}, {"numbers": []}),
    *entries("metric", 5, ["auc"], "acc", {"churned": 5}, {"other": "auc"}),
]


@pytest.mark.parametrize(("key", "change"), DESCRIPTIONS)
def test_malformed_descriptions_are_refused(
    terminal: Terminal, tmp_path: Path, key: str, change: dict[str, Any]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SPEC), **change}), "utf-8")
    terminal.refuses("prepare", *RIGHT["prepare"], f"spec={path}", naming=key)


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "null", "- a", "just text", "name: [", "a: b: c", "\t- x", "\0", "? [a]\n: 5"),
        *("{a: 5}: 3", "id: !x 5", "a: &a [1]\nb: *x", "name: &a [*a]", "%YAML 9.9\n---\n"),
        *("!!python/object/apply:os.system [ls]", f"{SPEC}id: kind\n", "\ud800"),
    ],
)
def test_files_that_are_no_description_are_named(
    terminal: Terminal, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    terminal.refuses("prepare", *RIGHT["prepare"], f"spec={path}", naming="mine.yaml")


MINE = "name: mine\nclass: grap_seq.nn.gru.GRUEncoder\n"


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        *((text, "mine.yaml") for text in ("", "5", "- a", "a: [", "just text", "\ud800")),
        *((text, "mine.yaml lacks") for text in ("hidden: 8", "name: mine", "encoder: {a: 1}")),
        *((f"{MINE}hidden: {value}", "hidden") for value in ("x", "null", "0", "${nothing}")),
        *((f"{MINE}hidden: {value}", "hidden") for value in ("${oc.env:NO_SUCH}", "???", "[8]")),
        (f"{MINE}hidden: 8\nhidden: 9", "hidden"),
        (f"{MINE}hidden: 8\nnothing: 5", "nothing"),
        (f"defaults: 5\n{MINE}", "mine.yaml"),
        (f"defaults: [mine, _self_]\n{MINE}", "mine.yaml"),
        (f"defaults: [nothing, _self_]\n{MINE}", "encoder/mine"),
        (f"# @package _global_\n{MINE}", "mine.yaml lacks"),
        ("name: mine\nclass: os.system", "os.system"),
        ("name: mine\nclass: nothing.at.All", "nothing.at.All"),
        ("name: mine\nclass: collections.OrderedDict", "OrderedDict"),
        ("name: [a]\nclass: a.B", "encoder.name"),
    ],
)
def test_malformed_choices_of_the_users_own_are_named(
    terminal: Terminal, tmp_path: Path, text: str, naming: str
) -> None:
    path = tmp_path / "encoder" / "mine.yaml"
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    typed = [f"configs={tmp_path}", "encoder=mine"]
    terminal.refuses("pretrain", *RIGHT["pretrain"], *typed, naming=naming)


# Names of files and folders that are right, however they look.
NAMES = [
    *("my file (1)", "a,b", "a=b", "it's", "[x]{y}", "данные 数据 ✈", "$HOME ${x} ${oc.env:HOME}"),
    *("#a;b&c|d!", "-dash", "~tilde", "100% %s", "12345", "true", "null", "a:b@c", "{a: 1}"),
    *("*?", "back\\slash", "new\nline", "x\ty", "\x1b[31m"),
    *(" spaces  inside ", "é" * 50, "'q'", '"q"', "<b>&amp;", "`x`", "==", "a..b"),
]
"""Seldom together in a name, and once all of them."""
ALL = "a ,=(1)'\"[x]{y}№数$H${x}#;&|!~%s:@<b>`\\"


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_the_files_of_that_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    # Alone, this word means that nothing is given.
    typed = "./null" if name == "null" else name
    write_shop(tmp_path, 20)
    (tmp_path / "events.csv").rename(tmp_path / f"{name}.csv")
    (tmp_path / "events.yaml").rename(tmp_path / f"{name}.yaml")
    settings_of = [f"source={name}.csv", f"spec={name}.yaml", f"output={typed}"]
    assert terminal.run("prepare", "dataset=table", *settings_of) == (0, "")
    assert (tmp_path / name / "manifest.json").is_file()
    assert terminal.run("validate", f"prepared={typed}") == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.csv", f"{name}.yaml", name}


def test_every_command_takes_a_folder_with_all_odd_characters(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / ALL
    folder.mkdir()
    terminal = Terminal(folder, monkeypatch, capsys)
    (folder / ALL).symlink_to(world / "prepared")
    prepared, run = f"prepared={ALL}", f"run=runs/{ALL}"
    for line in (
        ["pretrain", *SMALL, prepared, run],
        ["embed", run, "threads=1"],
        ["evaluate", run, "folds=2", "threads=1", "boosting.binary.n_estimators=2"],
        ["report", run],
        ["finetune", run, f"output=tuned/{ALL}", "epochs=1", "trainer.threads=1"],
        ["embed", f"run=tuned/{ALL}", f"output=vectors/{ALL}", "threads=1"],
    ):
        assert terminal.run(*line)[0] == 0, line
    stored = config.load(folder / "runs" / ALL / "config.yaml")["prepared"]
    assert os.path.samefile(stored, world / "prepared")
    assert (folder / "runs" / ALL / "report.html").is_file()
    assert (folder / "tuned" / ALL / "model.safetensors").is_file()
    assert (folder / "vectors" / ALL / "test.parquet").is_file()


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    composed = config.compose("embed", ["run=~/run", "prepared=a/~", "output=~"])
    assert (composed.run, composed.prepared) == (f"{tmp_path}/run", "a/~")
    assert composed.output == str(tmp_path)


ODD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)


@given(ODD)
@settings(max_examples=40)
def test_any_text_is_the_path_that_was_typed(text: str) -> None:
    if text in ("null", "???") or text.startswith("~") or ":" in text:
        return
    composed = config.compose("report", [f"run={text}", "prepared=x"])
    assert composed.run == text
    assert config.plain({"run": text}).run == text
    assert config.plain({"run": text}).copy().run == text


@given(st.sampled_from(["threads", "eval_length", "batch_events"]), ODD)
@settings(max_examples=40)
def test_any_text_is_a_value_or_is_refused_by_name(key: str, text: str) -> None:
    found = outcome("embed", "run=x", f"{key}={text}")
    if isinstance(found, ValueError):
        assert key in str(found)
    else:
        assert found[key] is None or type(found[key]) is int


def outcome(command: str, *overrides: str) -> Any:
    """The config, or the error."""
    try:
        return config.compose(command, overrides)
    except ValueError as error:
        return error


@given(st.text(max_size=20).filter(lambda key: "=" not in key), ODD)
@settings(max_examples=40)
def test_any_other_name_is_refused(key: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"no setting|key=value|no such option"):
        config.compose("validate", [f"{key}={text}"])
