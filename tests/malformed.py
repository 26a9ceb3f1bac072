"""Malformed calls: a right one of every command, and what is wrong with it."""

from __future__ import annotations

import itertools
from typing import Any

import yaml

from grap_seq import resources

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

# A number that may be left out, and one that need not be whole, though it is in the config.
RIGHT_VALUES = {("clip", "null"), ("lora.alpha", "1.5")}


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
            wrong = [text for text in wrong if (key, text) not in RIGHT_VALUES]
            count = next(turns)
            chosen = {wrong[(count + step) % len(wrong)] for step in (0, 3)} if wrong else ()
            found += [(command, key, value) for value in sorted(chosen)]
    return found


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
        ("trainer={accelerator: cpu}", "trainer={accelerator: cpu}"),
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
