import os
import sys
from pathlib import Path

from nnssl_plugin.errors import InputError

LEFT_BY_WINDOWS = ("Thumbs.db", "desktop.ini")


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted, links to nowhere included, and those in linked folders.

    Without hidden ones: macOS leaves `._CASE-t1n.nii.gz` beside real images.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_say):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_upwards(Path(place, name))]
        found += [Path(place, name) for name in names if _is_wanted(name)]
    return sorted(found)


def files_in(folder: Path) -> list[Path]:
    """Files of a folder itself, as in `files_below`."""
    return sorted(path for path in folder.iterdir() if _is_wanted(path.name) and not path.is_dir())


def _leads_upwards(path: Path) -> bool:
    # Not Path.resolve, which raises for a link to itself.
    return path.is_symlink() and Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(path))


def _say(error: OSError) -> None:
    print(f"WARNING: a folder cannot be searched and is skipped: {error}", file=sys.stderr)


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in LEFT_BY_WINDOWS
