"""What the stages of a preparation share: its description, the engine, and what they have kept.

Each stage leaves tables in the store or files in the work folder, and is skipped where they are. A
file is renamed into place when it is complete, so a killed run continues where it stopped and ends
with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grap_seq.files import write_json
from grap_seq.prep.describe.recipes import Recipe
from grap_seq.prep.describe.spec import DatasetSpec
from grap_seq.prep.folder.state import State
from grap_seq.prep.stages.problems import Problems
from grap_seq.prep.stages.store import Store

if TYPE_CHECKING:
    from grap_seq.prep.engines.base import Connection

# The note of the first stage.
READING = "facts.json"


class Work:
    """One preparation at work.

    Args:
        folder: of the work files.
        connection: the engine.
        recipe: of the dataset.
        strict: whether the first bad row is an error.
        files: of the source.
        stored: what new data have to fit; None: it is fitted to these data.
    """

    def __init__(
        self,
        folder: Path,
        connection: Connection,
        recipe: Recipe,
        strict: bool,
        files: Sequence[Path],
        stored: State | None = None,
    ) -> None:
        self.folder = folder
        self.connection = connection
        self.recipe = recipe
        self.spec: DatasetSpec = recipe.spec
        self.stored = stored
        self.problems = Problems(connection, strict)
        folder.mkdir(parents=True, exist_ok=True)
        # A killed run with another memory limit may have left files, which are gone on with.
        held = connection.holds(files) and not (folder / READING).exists()
        self.store = Store(connection, folder, held)

    def note(self, name: str, found: dict[str, Any]) -> None:
        """Keep what a stage found, where its tables are kept too."""
        if not self.store.held:
            write_json(self.folder / name, found)
