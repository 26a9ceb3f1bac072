"""Dataset descriptions: what is read back, and which mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grap_seq.prep.describe.spec import DatasetSpec

PLAIN: dict[str, Any] = {
    "name": "shop",
    "id": "client",
    "time": "when",
    "categorical": ["kind"],
    "numerical": {"amount": {"by": "kind", "log": True}},
    "label": "churned",
}


def test_spec_defaults_and_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(PLAIN), "utf-8")
    spec = DatasetSpec.load(path)
    assert spec.numerical["amount"].clip == (0.005, 0.995)
    assert spec.numerical["amount"].log
    assert spec.split.validation == spec.split.test == 0.15
    assert spec.columns == ("client", "when", "kind", "amount")
    assert DatasetSpec.from_dict(spec.to_dict()) == spec


def test_numerical_fields_may_be_a_list() -> None:
    spec = DatasetSpec.from_dict({**PLAIN, "numerical": ["a", "b"]})
    assert list(spec.numerical) == ["a", "b"]
    assert not spec.numerical["a"].log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categorial": ["kind"]}, "unknown key 'categorial'; did you mean 'categorical'"),
        ({"numerical": {"amount": {"clp": [0, 1]}}}, "unknown key 'clp'; did you mean 'clip'"),
        ({"split": {"valid": 0.1}}, "unknown key 'valid'; did you mean 'validation'"),
        ({"time_unit": "days"}, "did you mean 'day'"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"id": None}, "key 'id' is missing"),
        ({"numerical": {"amount": {"by": "kinds"}}}, "did you mean 'kind'"),
        ({"numerical": {"amount": {"clip": [0.9, 0.1]}}}, "two quantiles"),
        ({"numerical": {"amount": {"clip": 3}}}, "two quantiles"),
        ({"numerical": ["kind"]}, "'kind' is used twice"),
        ({"label": "kind"}, "the label 'kind' is also an input column"),
        ({"categorical": [], "numerical": []}, "at least one"),
        ({"categorical": "kind"}, "write a list of column names"),
        ({"categorical": ["kind", "label"]}, "rename your column"),
        ({"label": None, "labels": "labels.csv"}, "name its column"),
        ({"split": {"validation": 0.5, "test": 0.5}}, "leave nothing for training"),
    ],
)
def test_spec_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_dict({**PLAIN, **change}, "shop.yaml")


def test_spec_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no dataset description"):
        DatasetSpec.load(tmp_path / "absent.yaml")
    path = tmp_path / "broken.yaml"
    path.write_text("name: [", "utf-8")
    with pytest.raises(ValueError, match=r"broken\.yaml is not valid YAML"):
        DatasetSpec.load(path)
    path.write_text("just text", "utf-8")
    with pytest.raises(ValueError, match="expected 'key: value' lines"):
        DatasetSpec.load(path)
