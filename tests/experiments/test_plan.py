"""Which runs a table is made of, and that no two of them share a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grap_seq import config as configs
from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.plan import check_prepared, check_settings, flat, plan, with_bases
from grap_seq.experiments.tables import BUDGETS, TABLES


def test_a_table_has_every_cell_with_every_seed() -> None:
    found = plan("1", ["flights", "churn"], ["gru", "transformer"], ["equal", "grap"], 3, "full")
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 3
    assert [one.seed for one in found] == [0] * 8 + [1] * 8 + [2] * 8
    assert len({one.name for one in found}) == len(found)


def test_other_settings_have_another_folder() -> None:
    names = {
        plan("5", ["flights"], ["gru"], ["grap"], 1, budget, settings)[0].name
        for budget in BUDGETS
        for settings in ([], ["lr=0.1"])
    }
    assert len(names) == 2 * len(BUDGETS)


def test_finished_runs_of_earlier_versions_are_found_again() -> None:
    """A name is of the settings that were typed: new methods and options leave it as it is."""
    equal, noisy = plan("redundancy", ["movielens"], ["gru"], ["equal", "grap_noise16"], 1, "small")
    assert equal.name == "movielens_gru_equal_0_3cb104c6"
    assert noisy.name == "movielens_gru_grap_noise16_0_5867cd9c"


def test_folds_are_for_encoders_that_no_label_has_trained() -> None:
    holdout = plan("1", ["flights"], ["gru"], ["equal"], 1, "smoke")[0]
    folded = plan("1", ["flights"], ["gru"], ["equal"], 1, "smoke", folds=5)[0]
    assert (holdout.evaluation[0], folded.evaluation[0]) == ("folds=0", "folds=5")
    # What is trained is the same.
    assert holdout.name == folded.name
    with pytest.raises(ValueError, match=r"train the encoder of supervised, .* leave it out of"):
        plan("1", ["flights"], ["gru"], None, 1, "smoke", folds=5)
    with pytest.raises(ValueError, match=r"of supervised, auxiliary, equal_tuned, grap_tuned, .*"):
        plan("6", ["flights"], ["gru"], None, 1, "smoke", folds=5)


def test_the_same_run_of_two_tables_has_one_folder() -> None:
    first, second = (plan(table, ["flights"], ["gru"], ["grap"], 1, "full") for table in "16")
    assert first[0].name == second[0].name


def test_classifiers_of_table_4_are_fitted_on_all_labels() -> None:
    """The paper's is about the labels that the weights learn from."""
    few, whole = plan("4", ["flights"], ["gru"], ["grap_5", "grap"], 1, "full")
    assert few.training[-2:] == ["labels.fraction=0.05", "seed=0"]
    assert few.evaluation == ["folds=0", "all_labels=true"]
    assert whole.evaluation == ["folds=0"]


def test_what_is_fine_tuned_comes_behind_its_run() -> None:
    found = with_bases(plan("6", ["flights"], ["gru"], ["grap_tuned"], 2, "smoke"))
    assert [(one.method, one.seed) for one in found] == [
        ("grap", 0),
        ("grap_tuned", 0),
        ("grap", 1),
        ("grap_tuned", 1),
    ]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_run_has_settings_that_its_command_takes(table: str, budget: str) -> None:
    dataset = {"2": "churn", "3": "digits"}.get(table, "flights")
    for one in plan(table, [dataset], [] if table == "3" else ["gru"], None, 1, budget):
        assert one.command == ("vision" if table == "3" else "pretrain")
        if METHODS[one.method].base is None:
            config = configs.compose(one.command, one.training)
            assert config.seed == 0
        configs.compose("evaluate", ["run=somewhere", *one.evaluation])


def test_methods_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="no method 'garp'; did you mean 'grap'"):
        plan("1", ["flights"], ["gru"], ["garp"], 1, "full")
    with pytest.raises(ValueError, match="leave equal in methods="):
        plan("7", ["flights"], ["gru"], ["grap"], 1, "full")
    with pytest.raises(ValueError, match="equal_without leaves out what grap drops: leave grap in"):
        plan("redundancy", ["flights"], ["gru"], ["equal", "equal_without"], 1, "full")
    with pytest.raises(ValueError, match="table 5 does not compare dwa; it compares grap_none"):
        plan("5", ["flights"], ["gru"], ["dwa"], 1, "full")


def test_a_dataset_that_is_not_prepared(tmp_path: Path) -> None:
    (tmp_path / "flights").mkdir()
    (tmp_path / "flights" / "manifest.json").touch()
    with pytest.raises(FileNotFoundError, match="grap-seq prepare dataset=churn source=") as error:
        check_prepared("churn", tmp_path / "churn")
    assert f"output={tmp_path / 'churn'}" in str(error.value)
    check_prepared("flights", tmp_path / "flights")


@pytest.mark.parametrize(
    ("dataset", "encoder", "settings", "message"),
    [
        ("flihts", "gru", [], "dataset=flihts: did you mean 'flights'"),
        ("flights", "grru", [], "encoder=grru: did you mean 'gru'"),
        ("flights", "gru", ["lr=fast"], "lr=fast: write a number"),
        ("flights", "gru", ["learning=1"], "no setting 'learning'"),
        # All seeds would be one, or all methods.
        ("flights", "gru", ["seed=3"], "with.seed: the runs set it themselves"),
        ("flights", "gru", ["weighting=equal"], "with.weighting: the runs set it themselves"),
    ],
)
def test_what_pretrain_would_refuse_is_refused_before_any_run(
    dataset: str, encoder: str, settings: list[str], message: str
) -> None:
    found = plan("1", [dataset], [encoder], ["grap"], 2, "full", settings)
    with pytest.raises(ValueError, match=message):
        check_settings(found)


def test_equal_weights_are_not_called_searched() -> None:
    check_settings(plan("2", ["churn"], ["gru"], None, 1, "full"))
    check_settings(plan("2", ["movielens"], ["gru"], ["ntp_equal", "ntp_grap"], 1, "full"))
    with pytest.raises(ValueError, match=r"movielens has no searched weights.*leave ntp_searched"):
        check_settings(plan("2", ["movielens"], ["gru"], None, 1, "full"))


def test_settings_as_they_are_typed() -> None:
    given = {"lr": 0.1, "encoder": {"hidden": 8}, "clip": None, "recency": False, "targets": [1, 2]}
    assert flat(given) == [
        *("lr=0.1", "encoder.hidden=8", "clip=null", "recency=false", "targets=[1, 2]"),
    ]


def test_settings_are_checked_without_torch() -> None:
    code = "import sys, grap_seq.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
