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
# # GraP in a plain PyTorch model
#
# GraP needs neither event sequences nor our training code: it is one node between an encoder and
# its heads. Here are scikit-learn's handwritten digits, each under a stain, with 100 labels. The
# encoder is trained by three losses that use no label:
#
# - **rebuild**: the digit without its stain. That should help.
# - **code**: 16 numbers that were drawn for each picture and say nothing about it. Useless.
# - **stain**: how strong the four patterns of the stain are, in another unit, so that the loss is a
#   hundred times too large. An embedding full of stain has less room for the digit.

# %%
# %matplotlib inline
import os

import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from grap_seq.weighting import Equal, GraP

torch.set_num_threads(1)
LABELLED, STAIN, WIDTH = 100, 0.15, 16
# The tests train for a few steps only.
STEPS, SEEDS = (20, 2) if "GRAP_SEQ_QUICK" in os.environ else (800, 5)
pictures, digits = load_digits(return_X_y=True)
pictures = (pictures / 16).astype("float32")
patterns = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))

# %% [markdown]
# ## The training loop
# Three lines are GraP's. `weighting.parameter_group()` puts the weights into the optimiser,
# `weighting(z)` gives each head a view of the embedding, and `weighting.total` adds up the losses.
# The downstream loss sees the labelled pictures of the batch alone. It trains its own head and
# tells the weights where the task pulls; its gradient never reaches the encoder.


# %%
def train(make_weighting, names, seed, scale=100.0):
    """Accuracy on 600 test pictures, and what the weighting logged in every step."""
    torch.manual_seed(seed)
    split = train_test_split(pictures, digits, test_size=600, stratify=digits, random_state=seed)
    clean, clean_test, label, label_test = map(torch.as_tensor, split)
    stain, code = torch.randn(len(clean), 4), torch.randn(len(clean), 16)
    x = clean + STAIN * stain @ patterns
    x_test = clean_test + STAIN * torch.randn(len(clean_test), 4) @ patterns
    targets = {"rebuild": clean, "code": code, "stain": stain}

    encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, WIDTH))
    sizes = {**{name: targets[name].shape[1] for name in names}, "downstream": 10}
    heads = nn.ModuleDict({name: nn.Linear(WIDTH, size) for name, size in sizes.items()})
    weighting = make_weighting(names)
    weighting.watching = True  # measures cosines for equal weights, too
    model = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.Adam([{"params": model, "lr": 2e-3}, weighting.parameter_group()])

    logged = []
    for _ in range(STEPS):
        # The first 32 of a batch have labels.
        rows = torch.cat([torch.randint(LABELLED, (32,)), torch.randint(len(x), (96,))])
        views = weighting(encoder(x[rows]))
        losses = {name: mse_loss(heads[name](views[name]), targets[name][rows]) for name in names}
        if "stain" in losses:
            losses["stain"] = scale * losses["stain"]
        seen = heads["downstream"](views["downstream"][:32])
        losses["downstream"] = cross_entropy(seen, label[rows[:32]])
        optimizer.zero_grad()
        weighting.total(losses).backward()
        optimizer.step()
        logged.append(weighting.log())

    with torch.no_grad():
        z, z_test = encoder(x[:LABELLED]).numpy(), encoder(x_test).numpy()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    accuracy = classifier.fit(z, label[:LABELLED]).score(z_test, label_test)
    return accuracy, pd.DataFrame(logged)


# %%
losses = ["rebuild", "code", "stain"]
methods = {
    "equal weights": lambda seed: train(Equal, losses, seed),
    "GraP": lambda seed: train(GraP, losses, seed),
    "equal weights, stain not scaled": lambda seed: train(Equal, losses, seed, scale=1.0),
    "GraP, stain not scaled": lambda seed: train(GraP, losses, seed, scale=1.0),
    "rebuild alone": lambda seed: train(Equal, ["rebuild"], seed),
}
runs = {name: [method(seed) for seed in range(SEEDS)] for name, method in methods.items()}

# %% [markdown]
# ## The weights
# A line is a seed. All weights start at 1, and their mean stays there.

# %%
colours = {"rebuild": "#0072B2", "code": "#8A9096", "stain": "#D55E00"}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for name, colour in colours.items():
    for seed, (_, logged) in enumerate(runs["GraP"]):
        axes.plot(logged[f"weight/{name}"], color=colour, label=None if seed else name)
axes.set(xlabel="step", ylabel="weight", xlim=(0, STEPS), ylim=(0, 3))
axes.legend(frameon=False)

last = [logged.filter(like="weight/").iloc[-1] for _, logged in runs["GraP"]]
pd.DataFrame(last, index=[f"seed {seed}" for seed in range(SEEDS)]).round(2)

# %% [markdown]
# In every seed the useful loss ends with most of the weight, the useless one with what is left, and
# the harmful one with next to nothing, although its gradient is the longest by far.
# The way there is no straight one: in one seed **rebuild** falls to zero first and is back only
# after 300 steps. And afterwards **code** gains a little again, although it is useless. A weight is
# an estimate: look at several seeds, and at the end.
#
# ## Cosines
# Mean cosine of each loss's gradient with the label's over all steps, with the deviation over
# seeds. In one step of one run it may have any sign.
#
# Only that of **rebuild** can be told from zero. That suffices: GraP asks how well the sum of all
# gradients agrees with the label's, and a long gradient that agrees with nothing turns the sum away
# from it. So a weight may fall to zero without a negative cosine.


# %%
def over_seeds(values, places):
    values = pd.Series(values)
    return f"{values.mean():.{places}f} ± {values.std():.{places}f}"


pd.DataFrame(
    {
        method: {
            name: over_seeds([logged[f"cosine/{name}"].mean() for _, logged in runs[method]], 3)
            for name in losses
        }
        for method in ("equal weights", "GraP")
    }
)

# %% [markdown]
# ## What it is good for
# Accuracy of a logistic regression on the embeddings, fitted on the same 100 labels.
#
# With a loss that is a hundred times too large, GraP is far ahead of equal weights in every seed,
# and so it is without that scale. It is no magic: the scale still costs it accuracy, and rebuild
# alone is better than GraP in every seed, so whoever knows which loss is useful should take that
# one. GraP is for when nobody knows.
#
# We made these losses so that they differ this much. Where all losses are of some use and of one
# scale, equal weights are hard to beat: docs/results.md has the figures on real event data.

# %%
table = {
    method: {
        "test accuracy": over_seeds([accuracy for accuracy, _ in found], 3),
        **{f"seed {seed}": f"{accuracy:.3f}" for seed, (accuracy, _) in enumerate(found)},
    }
    for method, found in runs.items()
}
pd.DataFrame(table).transpose()
