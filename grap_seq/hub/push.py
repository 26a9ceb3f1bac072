"""A model of a run to a repository of the Hugging Face hub."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from grap_seq import __version__
from grap_seq.evaluation.model import EmbeddingModel
from grap_seq.hub.address import REPOSITORY
from grap_seq.hub.bundle import PATTERNS, bundle
from grap_seq.hub.card import card

# Answers that say who may do what.
REFUSED = (401, 403)


def push(
    model: EmbeddingModel, name: str, *, private: bool = True, licence: str | None = None
) -> str:
    """See `EmbeddingModel.push_to_hub`."""
    # Imported late: other commands should not wait for it.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # Of its client.

    if not re.fullmatch(REPOSITORY, name):
        raise ValueError(f"{name!r} is no name of a repository; write owner/name")
    api = HfApi(library_name="grap_seq", library_version=__version__)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle(model.run, folder)
        (folder / "README.md").write_text(card(model, name, licence), "utf-8")
        try:
            api.create_repo(name, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                commit_message=f"Model of {model.schema.name}, by grap_seq {__version__}",
                # Of an earlier push, where this model has none of them.
                delete_patterns=list(PATTERNS),
            )
        except (HTTPError, OSError) as error:
            reason = " ".join(str(error).split())
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in REFUSED:
                raise PermissionError(
                    f"{api.endpoint} does not let you write to {name} ({reason}); log in with"
                    " `hf auth login`, or set HF_TOKEN to a token that may write there"
                ) from error
            raise ConnectionError(
                f"could not push to {name} on {api.endpoint} ({reason}); run the same again"
            ) from error
    return str(done.commit_url)
