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
# # Reading weights and cosines
#
# What do the curves of a run say, and when do they say nothing? We train twice on the same made-up
# shop: once the label hangs on what is bought, once it is thrown by a coin.

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

warnings.filterwarnings("ignore")
rich.reconfigure(force_jupyter=False, force_terminal=False)
# A folder of its own, which everything below is written to.
os.chdir(tempfile.mkdtemp())
folder = Path()
rng = np.random.default_rng(0)
events = []
for customer in range(300):
    leaves, count = customer % 2, rng.integers(8, 30)
    kinds = rng.choice(
        ["food", "toys", "books"], count, p=[0.6 - 0.4 * leaves, 0.2, 0.2 + 0.4 * leaves]
    )
    times, amounts = np.cumsum(rng.exponential(2.0, count)), rng.lognormal(3, 0.5, count)
    events.append(
        pd.DataFrame({"customer": customer, "time": times, "kind": kinds, "amount": amounts})
    )
events = pd.concat(events, ignore_index=True)
real = pd.DataFrame({"customer": range(300), "leaves": [c % 2 for c in range(300)]})
coin = real.assign(leaves=rng.integers(0, 2, 300))
described = {
    "id": "customer",
    "time": "time",
    "categorical": ["kind"],
    "numerical": ["amount"],
    "label": "leaves",
}
# The tests train for a few steps only.
steps = 20 if "GRAP_SEQ_QUICK" in os.environ else 500
settings = {"min_steps": steps, "encoder": {"hidden": 32}, "log_every": 1}

# %%
runs = {}
for name, labels in (("real", real), ("coin", coin)):
    prepared = grap_seq.prepare(events, folder / name, name=name, labels=labels, **described)
    runs[name] = grap_seq.pretrain(prepared, run=folder / f"run_{name}", **settings)

# %% [markdown]
# ## Weights
# In both runs weights move. Movement alone says nothing: under a coin they wander.

# %%
runs["real"].plot_weights()

# %%
runs["coin"].plot_weights()

# %% [markdown]
# ## Cosines
# A loss whose gradient points where the label's does has a positive cosine, a loss that is in its
# way a negative one. Each batch gives a rough value; what counts is the mean beside its standard
# error. Batches are no independent draws, though: the same labels come again in every epoch, so the
# errors are too small.

# %%
table = pd.DataFrame(
    {
        name: run.weights.filter(like="cosine/").mean() / run.weights.filter(like="cosine/").sem()
        for name, run in runs.items()
    }
)
table.rename(index=lambda name: name.removeprefix("cosine/")).round(1)

# %% [markdown]
# With real labels the losses of the kinds stand out, by dozens of standard errors. With a coin some
# means are five of them from zero, which is what memorised labels do. So compare with a run under
# shuffled labels before believing a small one.

# %%
runs["real"].metrics[["epoch", "val_loss", "step"]].tail(3)
