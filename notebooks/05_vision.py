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
# # Images
#
# The paper's second domain. A backbone learns from photographs without labels, by All4One's four
# losses, and GraP weighs them by how well their gradients agree with a classifier's. docs/vision.md
# has the command for CIFAR, ImageNet-100, Omniglot and images of yours.
#
# Here it learns from scikit-learn's 1,797 handwritten digits, which need no download. They are a
# toy: a linear classifier on bare pixels is nearly always right, and nothing below compares with
# the paper's Table 3. Needs `pip install 'grap-seq[vision]'`.

# %%
# %matplotlib inline
import json
import os
import tempfile
import warnings

import numpy as np
import pandas as pd
import rich
import torch
from matplotlib import pyplot as plt

import grap_seq.vision
from grap_seq import commands, config
from grap_seq.pages.plots import plot_cosines, plot_weights
from grap_seq.vision.build import centre_of, colours_of, fresh_backbone, images_of
from grap_seq.vision.probe import features_of, linear_accuracy
from grap_seq.vision.views import Crops

warnings.filterwarnings("ignore")
rich.reconfigure(force_jupyter=False, force_terminal=False)
# A folder of its own, which everything below is written to.
os.chdir(tempfile.mkdtemp())
# The tests train for a few steps only.
quick = ["trainer.max_steps=4"] if "GRAP_SEQ_QUICK" in os.environ else []

# %% [markdown]
# ## Two views of an image
# Each image is cut, turned and shifted twice at random, and noise is added. The losses ask that
# features of both views be alike, and unlike those of other images. Digits are neither mirrored nor
# inverted: that would change what they are.

# %%
settings = config.compose("vision", ["data=digits"])
train, val = images_of(settings)
crops = Crops(settings.data.size, settings.data.views)
colours = colours_of(settings.data)

torch.manual_seed(0)
shown = [train[row] for row in range(10)]
rows = {
    "image": torch.stack(shown)[:, 0] / 255,
    **dict(zip(("view 1", "view 2"), colours(crops(shown, seed=0))[:, :, 0], strict=True)),
}
figure, axes = plt.subplots(3, 10, figsize=(7, 2.2))
for line, (name, pictures) in zip(axes, rows.items(), strict=True):
    for place, picture in zip(line, pictures, strict=True):
        place.imshow(picture, cmap="gray_r")
        place.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")

# %% [markdown]
# ## Training
# The same as `grap-seq vision data=digits weighting=grap run=run` in a shell.

# %%
run = commands.vision(["data=digits", "weighting=grap", "run=run", "seed=0", *quick])

# %% [markdown]
# ## Was it worth it?
# The command has fitted a linear classifier on frozen features of the training images, those of the
# trained backbone and those of one that was never trained. We add bare pixels, and for all three
# the share of validation images whose nearest training image, by cosine, shows the same digit.
# There are 360 validation images, so the standard error of a share of 0.97 is 0.009.

# %%
backbone, _ = grap_seq.vision.load(run)
untrained, _ = fresh_backbone(settings)
splits, cut = (train, val), (centre_of(settings.data), colours_of(settings.data))
features = {
    name: [features_of(model, part, *cut) for part in splits]
    for name, model in (("trained backbone", backbone), ("untrained backbone", untrained))
}
features["pixels"] = [part.pixels.flatten(1).float().numpy() / 255 for part in splits]

probe = json.loads((run / "probe.json").read_text())
fitted, scored = features["pixels"]
linear = {
    "trained backbone": probe["accuracy"],
    "untrained backbone": probe["untrained"],
    "pixels": linear_accuracy(fitted, train.labels, scored, val.labels),
}


def nearest(name):
    """Rows of the training images, nearest first, for each validation image."""
    fitted, scored = (part / np.linalg.norm(part, axis=1)[:, None] for part in features[name])
    return np.argsort(-scored @ fitted.T, axis=1)


same = {name: (train.labels[nearest(name)[:, 0]] == val.labels).mean() for name in features}
pd.DataFrame({"linear classifier": linear, "nearest image": same}).round(3)

# %% [markdown]
# In this one seed the trained backbone is right on ten images more than the untrained one, which is
# right on 343 of 360 without having learned anything. Bare pixels lie between them, and by nearest
# neighbours they are the best. Digits are too easy to tell what training is worth.
#
# ## Weights
# Two losses compare each image with its nearest neighbours among earlier ones: **nnclr** with the
# nearest, **att_nnclr** with what a small Transformer makes of five. **on_diag** asks that both
# views have the same features, **off_diag** that features be independent of each other.

# %%
plot_weights(run, width=6)

# %%
plot_cosines(run, width=6)

# %%
logged = pd.read_parquet(run / "weights.parquet")
half = logged.iloc[len(logged) // 2 :].mean()
table = pd.DataFrame(
    {
        name: [half[f"{key}/{name}"] for key in ("weight", "cosine", "norm")]
        for name in ("nnclr", "att_nnclr", "on_diag", "off_diag")
    },
    index=["weight", "cosine", "length of the gradient"],
).transpose()
table.assign(share=table["weight"] * table["length of the gradient"]).round(3)

# %% [markdown]
# The table has means over the second half of training; **share** is weight times length. Weights
# make up for lengths: the long gradient of **nnclr** gets next to no weight, though it agrees with
# the classifier's. **off_diag** weighs most, though its cosine is negative. A loss of its own would
# not have deserved that. But GraP judges the sum of all gradients, and there a short one may well
# cancel a part of the others that is of no use. This is one seed of a toy: in the paper, on
# photographs, it is **att_nnclr** whose weight falls to zero.

# %% [markdown]
# ## Nearest neighbours
# On the left a validation image of each digit, beside it the training images whose features have
# the largest cosine with its own. Another digit has a red frame.

# %%
queries = [int(np.flatnonzero(val.labels == digit)[0]) for digit in range(10)]
figure, halves = plt.subplots(10, 14, figsize=(8, 6))
for start, name in ((0, "trained backbone"), (7, "untrained backbone")):
    found = nearest(name)
    halves[0, start + 3].set_title(name)
    for line, query in zip(halves[:, start : start + 7], queries, strict=True):
        pictures = [(val, query), *((train, row) for row in found[query, :5])]
        for place, (images, row) in zip(line, pictures, strict=False):
            place.imshow(images[row][0], cmap="gray_r")
            other = images.labels[row] != val.labels[query]
            place.spines[:].set(color="red" if other else "none", linewidth=2)
for place in halves.flat:
    place.set(xticks=[], yticks=[])
    if not place.images:
        place.axis("off")
