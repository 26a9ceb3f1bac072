"""The README's pictures, from the run that `make demo` leaves behind.

python benchmarks/pictures.py --run runs/flights_gru_grap --prepared data/flights
"""

from __future__ import annotations

import argparse
from pathlib import Path

from grap_seq.pages import plot_embeddings, plot_weights

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/flights_gru_grap"))
    parser.add_argument("--prepared", type=Path, default=Path("data/flights"))
    arguments = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    plot_weights(arguments.run).savefig(IMAGES / "flights_weights.png", dpi=110)
    plot_embeddings(arguments.run, arguments.prepared).savefig(
        IMAGES / "flights_embeddings.png", dpi=110
    )


if __name__ == "__main__":
    main()
