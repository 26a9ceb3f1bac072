# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own table
#
# From a CSV file as people send them to embeddings that predict who leaves. The file is made up
# here, with the trouble that real ones have: dates as text with a point, decimal commas, "n/a", and
# labels in a file of their own.

# %%
# %matplotlib inline
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import rich

import grap_seq

# Plain text instead of progress widgets, and no advice about installing them.
warnings.filterwarnings("ignore")
rich.reconfigure(force_jupyter=False, force_terminal=False)
# A folder of its own, which everything below is written to.
os.chdir(tempfile.mkdtemp())
folder = Path()
# The tests train for a few steps only.
steps = 20 if "GRAP_SEQ_QUICK" in os.environ else 600
rng = np.random.default_rng(0)

rows = []
for customer in range(400):
    leaves = customer % 2
    days = np.cumsum(rng.exponential(4.0, rng.integers(8, 30)))
    kinds = rng.choice(
        ["food", "toys", "books"], len(days), p=[0.5 - 0.2 * leaves, 0.2, 0.3 + 0.2 * leaves]
    )
    for day, kind in zip(days, kinds, strict=True):
        when = pd.Timestamp("2023-01-01") + pd.Timedelta(days=float(day))
        amount = f"{rng.lognormal(3, 0.5):.2f}".replace(".", ",")
        missing = rng.random() < 0.05
        rows.append(
            (
                f"C{customer:04d}",
                when.strftime("%d.%m.%Y %H:%M"),
                kind,
                "n/a" if missing else amount,
            )
        )
table = pd.DataFrame(rows, columns=["customer", "bought_at", "kind", "amount"])
table.to_csv(folder / "purchases.csv", index=False)
labels = pd.DataFrame(
    {"customer": [f"C{c:04d}" for c in range(400)], "leaves": [c % 2 for c in range(400)]}
)
labels.to_csv(folder / "labels.csv", index=False)
table.head()

# %% [markdown]
# ## A first description
# `suggest` looks at the cells. Every line is a guess: it finds the format of the dates, and takes
# the amounts for text, because of their commas.

# %%
described = grap_seq.suggest(folder / "purchases.csv", id="customer")
print(described)

# %% [markdown]
# ## Mended, and prepared
# We say what the commas and "n/a" mean, what the label is, and up to when the shop was watched:
# who has not come for long shows in nothing else.

# %%
described |= {
    "name": "shop",
    "decimal": ",",
    "na_values": ["n/a"],
    "categorical": ["kind"],
    "numerical": {"amount": {"log": True}},
    "calendar": ["weekday"],
    "until": "01.08.2023 00:00",
    "label": "leaves",
}
prepared = grap_seq.prepare(
    folder / "purchases.csv", folder / "shop", labels=folder / "labels.csv", **described
)

# %% [markdown]
# ## Pretrain
# 600 optimiser steps are few; the default is 3,000.

# %%
run = grap_seq.pretrain(prepared, run=folder / "run", min_steps=steps, encoder={"hidden": 32})

# %%
run.plot_weights()

# %% [markdown]
# ## Was it worth it?

# %%
evaluation = grap_seq.evaluate(run)
evaluation.table.round(3)

# %%
run.plot_embeddings()

# %% [markdown]
# ## New customers
# Raw rows as they come, through the stored vocabulary and scalers. A new date up to when these were
# watched is given with them.

# %%
new = table[table["customer"] < "C0005"]
run.model.embed(new, until="01.09.2023 00:00").iloc[:, :4].round(2)
