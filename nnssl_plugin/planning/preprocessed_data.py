"""What is preprocessed already in the pre-training data set's folder, and by which plans."""

from pathlib import Path

from nnssl_plugin.nnunet.plans_file import plans_of, preprocessing_by_identifier
from nnssl_plugin.planning.alignment import Alignment


def conflicts(alignment: Alignment) -> dict[str, str]:
    """Folder or plans file of the pre-training data set → why it is not what the target's plans would make.

    Plans files are what tells how preprocessed images were made: a folder that none of them, or one of them
    otherwise, describes cannot be taken for aligned.
    """
    wanted = preprocessing_by_identifier(alignment.plans)
    own = {name: preprocessing_by_identifier(plans) for name, plans in plans_of(alignment.pretrain).items()}
    found = {}
    for identifier, preprocessing in wanted.items():
        described = {name: entries[identifier] for name, entries in own.items() if identifier in entries}
        others = [name for name, entry in described.items() if entry != preprocessing]
        if (alignment.folder / identifier).is_dir() and (others or not described):
            found[identifier] = (
                f"is described otherwise by {', '.join(others)}" if others else "is described by no plans"
            )
    name = alignment.plans["plans_name"]
    if name in own and own[name] != wanted:
        found[f"{name}.json"] = f"preprocesses otherwise than {name} of {alignment.target}"
    return found


def missing_cases(alignment: Alignment, folder: Path) -> list[str]:
    """Cases that are not, or not wholly, among the preprocessed ones in `folder`; nnU-Net writes the .pkl last."""
    return sorted(
        case
        for case in alignment.cases
        if not all((folder / f"{case}{ending}").is_file() for ending in (".b2nd", "_seg.b2nd", ".pkl"))
    )


def extra_cases(alignment: Alignment, folder: Path) -> list[str]:
    """Preprocessed cases in `folder` that the raw data set does not have."""
    return sorted({path.stem for path in folder.glob("*.pkl")} - alignment.cases)
