"""Every example of docs/weighting.md runs and learns weights; its tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from grap_seq import weighting as package
from grap_seq.weighting import Weighting

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "weighting.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONFIGS = {path.stem: path for path in (ROOT / "configs" / "weighting").glob("*.yaml")}
GROUP = re.compile(r"(?:\w+\.)?weighting\.parameter_group\(\)")
VERDICT = "helps the task|conflicts with the task|cannot be told from neutral"
every_block = pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning writes its logs into the working directory."""
    monkeypatch.chdir(tmp_path)


def run(code: str) -> Weighting:
    """Execute a block on its own; the weighting that it trained."""
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "docs/weighting.md", "exec"), namespace)
    modules = [value for value in namespace.values() if isinstance(value, nn.Module)]
    (found,) = {m for top in modules for m in top.modules() if isinstance(m, Weighting)}
    return found


def moved(weighting: Weighting) -> bool:
    """Whether the weights, which start at one, are finite and elsewhere."""
    weights = weighting.weights.detach()
    assert weights.isfinite().all()
    assert weighting.not_finite() == []
    return bool((weights - 1).abs().max() > 0.005)


@every_block
def test_the_example_learns_weights(code: str) -> None:
    assert moved(run(code))


@every_block
def test_it_would_not_without_the_group_of_the_weights(code: str) -> None:
    """So the examples do show how the weights get into the optimiser."""
    without, count = GROUP.subn('{"params": []}', code)
    assert count == 1
    weighting = run(without)
    assert not moved(weighting)
    assert weighting.steps > 0


@pytest.mark.parametrize("method", ["DWA", "GradNorm"])
def test_the_lightning_example_suits_methods_that_need_epochs_or_losses(method: str) -> None:
    (code,) = (code for code in BLOCKS if "lightning" in code)
    weighting = run(re.sub(r"\bGraP\b", method, code))
    assert isinstance(weighting, getattr(package, method))
    assert moved(weighting)


def test_padding_of_the_hugging_face_example_changes_nothing() -> None:
    (code,) = (code for code in BLOCKS if "attention_mask" in code)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "docs/weighting.md", "exec"), namespace)
    model, ids = namespace["model"], torch.randint(20, (3, 12))
    mask = (torch.arange(12) < torch.tensor([[5], [12], [8]])).long()
    labels = torch.tensor([0, 1, -100])
    grams = []
    for padding in (0, 19):
        output = model(ids.masked_fill(mask == 0, padding), mask, labels)
        output.loss.backward()
        grams.append(model.weighting.statistics.gram)
        assert output.logits.shape == (3, 2)
    torch.testing.assert_close(grams[0], grams[1])
    assert model(ids, mask, torch.full((3,), -100)).loss.isfinite()


def test_the_summary_is_what_the_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Up to the digits and the verdicts on small cosines, which differ between processors."""
    (shown,) = re.findall(r"```text\n(related: .*?)```", PAGE, re.DOTALL)
    (code,) = (code for code in BLOCKS if "summary())" in code)
    weighting = run(code)
    shapes = []
    for text in (capsys.readouterr().out, shown):
        shapes.append(re.sub(r"[-+]?\d+\.\d+", "#", re.sub(VERDICT, "VERDICT", text)))
        sizes = [float(size) for size in re.findall(r"weight (\S+?)[, ]", text)]
        assert sizes == sorted(sizes, reverse=True)
    assert shapes[0] == shapes[1]
    assert shapes[0].count("VERDICT") == 3
    assert weighting.named_weights()["related"] > 1.5


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = section.split("|---", 1)[1].split("\n\n")[0]
    return [line.strip("|").split(" | ") for line in table.splitlines()[1:]]


def test_the_table_of_methods_is_complete() -> None:
    listed = {}
    for name, config, _, labels, _ in rows("Methods"):
        kind = getattr(package, name.strip(" `"))
        assert kind.needs_labels == (labels == "yes"), name
        listed[config.strip("` ")] = f"grap_seq.weighting.{kind.__name__}"
    assert listed == {
        name: yaml.safe_load(path.read_text("utf-8"))["class"] for name, path in CONFIGS.items()
    }


def test_every_method_is_among_the_settings_and_the_readme_links_here() -> None:
    settings = (ROOT / "docs" / "commands.md").read_text("utf-8")
    (names,) = re.findall(r"`weighting=([\w|]+)`", settings)
    assert set(names.split("|")) == set(CONFIGS)
    assert "(docs/weighting.md)" in README


def test_every_key_of_the_log_is_explained() -> None:
    weighting = run(BLOCKS[0])
    keys = {re.sub("/.*", "/NAME", key) for key in weighting.log()}
    assert keys == {row[0].strip(" `") for row in rows("Watching")}
