"""Models on the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from nnssl_plugin.errors import InputError
from nnssl_plugin.sharing.card_folder import CARD, WEIGHTS

PREFIX = "hf:"
# Its bases are those of the HTTP client, which differs between versions of huggingface_hub, and whose errors of the
# connection come through as they are. ValueError: a name or a card that the Hub does not take.
FAILURES: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, ValueError)


def download(repository: str) -> Path:
    """Folder of a shared model of the Hub, in huggingface_hub's cache.

    Args:
        repository: `ORGANISATION/NAME`.

    Raises:
        InputError: it cannot be had.
    """
    try:
        return Path(snapshot_download(repository, allow_patterns=[WEIGHTS, CARD]))
    except FAILURES as error:
        raise InputError(f"{PREFIX}{repository} cannot be downloaded: {_first_line(error)}") from None


def push(folder: Path, repository: str) -> str:
    """Upload the folder of a shared model; its address.

    Raises:
        InputError: the Hub refuses, or cannot be reached.
    """
    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder))
    except FAILURES as error:
        raise InputError(
            f"--push {repository}: {_first_line(error)}. The folder {folder} is complete; log in with the command hf auth login, and upload it "
            "with hf upload"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
