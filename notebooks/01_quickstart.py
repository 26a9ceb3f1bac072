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
# # From a table of events to embeddings
#
# A year of flights from New York, 336,776 rows: every aircraft has a history. We learn one
# embedding per aircraft without being told anything about it, and then ask how well that
# embedding tells when the aircraft was built.

# %%
# %matplotlib inline
import os
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import rich

import grap_seq
from grap_seq import config
from grap_seq.evaluation.boosting import Boosting
from grap_seq.evaluation.embed_folder import embed_folder
from grap_seq.evaluation.protocol import evaluate
from grap_seq.pages.plots import plot_embeddings, plot_losses, plot_weights
from grap_seq.prep.prepare import prepare
from grap_seq.prep.transform import read_events
from grap_seq.training.pretrain import pretrain

# Plain text instead of progress widgets, and no advice about installing them.
warnings.filterwarnings("ignore")
rich.reconfigure(force_jupyter=False, force_terminal=False)

# GRAP_SEQ_QUICK=1 (the tests) trains for a few steps and grows a few trees only.
quick = "GRAP_SEQ_QUICK" in os.environ
small = ["trainer=smoke", "select=last", "dataset.hidden=16"]
small += ["dataset.boosting.multiclass.n_estimators=5"]
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The raw events
# One row an event: who (`tailnum`), when, and what happened.

# %%
events = read_events("flights")
events.head()

# %% [markdown]
# ## Prepare: one row per aircraft
# Categories become codes, numbers are standardised, aircraft are split by a hash of their id.
# All of it is stored, so that new flights go through exactly the same steps.

# %%
prepared = folder / "flights"
manifest = prepare("flights", prepared)
pd.DataFrame(manifest.splits).T[["sequences", "events", "labelled"]]

# %% [markdown]
# ## Pretrain: eleven losses that weigh themselves
# One next-event loss per field, one for the time gap, and CoLES. GraP turns their weights towards
# the gradient of the task; the labels themselves never reach the encoder.

# %%
settings = config.compose(
    "pretrain",
    [
        "dataset=flights",
        f"prepared={prepared}",
        f"run={folder / 'run'}",
        *(small if quick else []),
    ],
)
run = pretrain(settings)

# %%
plot_losses(run)

# %% [markdown]
# Which losses help here? Weights that rise belong to losses whose gradient agrees with the task's.

# %%
plot_weights(run)

# %% [markdown]
# ## Embed and evaluate
# LightGBM on frozen embeddings, on plain aggregates per aircraft (what one would do without a
# model), on both, and on the embeddings of the same encoder before training; five folds over all
# labelled aircraft.

# %%
model = grap_seq.load(run)
embed_folder(model, prepared)
result = evaluate(
    run,
    prepared,
    folds=2 if quick else 5,
    boosting=Boosting.from_config(settings.dataset.boosting),
)
pd.DataFrame({"accuracy": result["test"], "deviation over folds": result["std"]}).round(3)

# %%
plot_embeddings(run, prepared)

# %% [markdown]
# ## New events
# The trained model takes raw events and returns one row per aircraft.

# %%
some = events[events["tailnum"].isin(["N14228", "N24211", "N619AA"])]
model.embed(some).iloc[:, :6].round(3)
