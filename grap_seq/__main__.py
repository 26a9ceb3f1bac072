"""`python -m grap_seq` is the same program as `grap-seq`."""

from grap_seq.cli import main

main()
