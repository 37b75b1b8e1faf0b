from collections.abc import Mapping

from nnunetv2.utilities.crossval_split import generate_crossval_split

# nnU-Net's own cross-validation, which it seeds with 12345.
FOLDS = 5


def splits_by_patient(patients: Mapping[str, str]) -> list[dict[str, list[str]]] | None:
    """Training and validation cases of each fold, where nnU-Net's own split will not do.

    That one fails below five cases and separates the examinations of a patient. Here patients are split as nnU-Net
    would split cases, which leaves out one at a time where there are fewer than five.

    Args:
        patients: case → patient.

    Returns:
        None where nnU-Net's own split is right (five or more patients, one case each), and where no split is possible
        (one patient).
    """
    names = sorted(set(patients.values()))
    if len(names) == 1 or len(names) == len(patients) >= FOLDS:
        return None
    return [
        {part: [case for case in sorted(patients) if patients[case] in fold[part]] for part in ("train", "val")}
        for fold in generate_crossval_split(names, n_splits=min(FOLDS, len(names)))
    ]
