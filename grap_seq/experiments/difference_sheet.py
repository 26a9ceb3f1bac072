"""Scores of a table beside those of one of its methods, seed by seed, and beside plain features."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from grap_seq.experiments.methods import METHODS
from grap_seq.experiments.write import Sheet, Text

if TYPE_CHECKING:
    Values: TypeAlias = "pd.Series[float]"

NOTE = (
    "Scores are means ± standard deviation over seeds. Differences are means over runs of the same"
    " seed ± their standard error (number of such seeds), a rough one where these are two or three."
    " Folds have no validation scores. Beside aggregates: embeddings and plain aggregates together."
    " *: runs of several versions of the code or of its packages."
)
# Columns of `scores.raw` by what stands above them.
SCORES = {
    "test": "test_embedding",
    "validation": "val_embedding",
    "beside aggregates": "test_both",
}
# Rows of features that no method has trained.
PLAIN = {"untrained encoder": "test_untrained", "aggregates": "test_aggregates"}


def difference_sheet(frame: pd.DataFrame, reference: str) -> Sheet | None:
    """A row a method: every score, and how far it is from the reference's; None without runs.

    Args:
        frame: of `scores.raw`.
        reference: the method that the others are compared with; where it was not run, scores stand
            alone.
    """
    done = frame[frame["state"] == "done"]
    scores = {name: column for name, column in SCORES.items() if done[column].notna().any()}
    rows = []
    for (dataset, encoder), part in done.groupby(["dataset", "encoder"], sort=False):
        place = [str(dataset), str(encoder)]
        base = part[part["method"] == reference]
        for method, runs in part.groupby("method", sort=False):
            texts = [*place, METHODS[str(method)].title]
            for column in scores.values():
                gap = "" if method == reference else difference(runs, base, column)
                texts += [spread(by_seed(runs, column)), gap]
            rows.append([Text(text) for text in texts])
        for title, column in PLAIN.items():
            values = by_seed(part.drop_duplicates("seed"), column)
            if len(values):
                # Aggregates know no seed.
                shown = values.iloc[:1] if values.nunique() == 1 else values
                texts = [*place, title, spread(shown), *[""] * (2 * len(scores) - 1)]
                rows.append([Text(text) for text in texts])
    against = f"minus {METHODS[reference].title}"
    columns = [title for name in scores for title in (name, against)]
    return Sheet(["dataset", "encoder", "method", *columns], rows, NOTE) if rows else None


def by_seed(runs: pd.DataFrame, column: str) -> Values:
    """Scores of a method's runs by their seeds, as far as they are defined."""
    return pd.Series(runs[column].to_numpy(float), index=runs["seed"].to_numpy(int)).dropna()


def spread(values: Values) -> str:
    """Mean and standard deviation over seeds."""
    if values.empty:
        return ""
    return f"{values.mean():.4f}" + (f" ± {values.std():.4f}" if len(values) > 1 else "")


def difference(runs: pd.DataFrame, base: pd.DataFrame, column: str) -> str:
    """Mean of the differences of common seeds, and its standard error.

    Args:
        runs, base: of two methods.
        column: of the scores.
    """
    gaps = (by_seed(runs, column) - by_seed(base, column)).dropna()
    if gaps.empty:
        return ""
    both = pd.concat([runs, base])
    mixed = "*" if pd.concat([both["made_by"], both["begun_by"]]).nunique() > 1 else ""
    error = f" ± {gaps.std() / len(gaps) ** 0.5:.4f}" if len(gaps) > 1 else ""
    return f"{gaps.mean():+.4f}{error}{mixed} ({len(gaps)})"
