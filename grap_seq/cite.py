"""How to cite: BibTeX of this version and of the paper whose method it implements."""

from __future__ import annotations

from grap_seq import __version__

PAPER = "When Losses Align: Gradient-Based Composite Loss Weighting for Efficient Pretraining"
ARXIV = "2605.07756"


def bibtex() -> str:
    """Two entries."""
    return f"""\
@software{{grap_seq,
  title   = {{grap_seq: embeddings of event sequences with losses that learn their own weights}},
  author  = {{{{The grap_seq developers}}}},
  version = {{{__version__}}},
}}

@article{{grap,
  title         = {{{PAPER}}},
  archivePrefix = {{arXiv}},
  eprint        = {{{ARXIV}}},
}}"""
