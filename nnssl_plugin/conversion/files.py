from pathlib import Path

from nnssl_plugin.errors import InputError


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without hidden ones (macOS leaves `._CASE-t1n.nii.gz` beside real images).

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def files_in(folder: Path) -> list[Path]:
    """Files of a folder itself, sorted, without hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_file())
