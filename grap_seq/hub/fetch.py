"""A model from a repository of the Hugging Face hub to a folder of its cache."""

from __future__ import annotations

from pathlib import Path

from grap_seq import __version__, seal
from grap_seq.hub.bundle import NEEDED, PATTERNS


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder that holds a model, fetched unless it is there already.

    Only files of a model are fetched, whatever else is in the repository. Without a network, what
    was fetched before is used.

    Args:
        name: "owner/name".
        revision: a branch, tag or commit; None: the newest.

    Raises:
        FileNotFoundError: no such repository, or it holds no model.
        ConnectionError: the hub cannot be reached, and nothing was fetched before.
    """
    # Imported late: who has the run on disk should not wait for it.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # Of its client.
        HTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub = constants.ENDPOINT
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(PATTERNS),
                library_name="grap_seq",
                library_version=__version__,
            )
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = "" if revision is None else f" at {revision}"
        raise FileNotFoundError(
            f"there is no folder {name} here, and no model {name}{at} on {hub} that you may read;"
            " correct the name, or log in with `hf auth login`"
        ) from error
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"there is no folder {name} here, and {hub} could not be asked for a model of this name"
            f" ({reason}); correct the name, or try again"
        ) from error
    missing = [one for one in (*NEEDED, seal.FILE) if not (folder / one).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{name} on {hub} holds no model of grap_seq (no {', '.join(missing)}); push one with"
            f' grap_seq.load(run).push_to_hub("{name}")'
        )
    return folder
