"""Generated folders named and labelled as each BraTS era was released."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.scans import SHAPE, image, segmentation, write

DASHED = {role: f"{{case}}/{{case}}-{suffix}.nii.gz" for role, suffix in zip(
    ("T1", "T1c", "T2", "FLAIR", "label"), ("t1n", "t1c", "t2w", "t2f", "seg"), strict=True
)}  # fmt: skip


def underscored(ending: str) -> dict[str, str]:
    suffixes = {"T1": "t1", "T1c": "t1ce", "T2": "t2", "FLAIR": "flair", "label": "seg"}
    return {role: f"{{case}}/{{case}}_{suffix}{ending}" for role, suffix in suffixes.items()}


def skeleton(flat: bool) -> dict[str, str]:
    suffixes = {"T1": "MR_T1.1", "T1c": "MR_T1c.2", "T2": "MR_T2.3", "FLAIR": "MR_Flair.4", "label": "OT.5"}
    prefix = {role: "VSD.Brain_3more.XX.O." if role == "label" else "VSD.Brain.XX.O." for role in suffixes}
    names = {role: prefix[role] + suffix for role, suffix in suffixes.items()}
    return {role: f"{{case}}/{name}.mha" if flat else f"{{case}}/{name}/{name}.mha" for role, name in names.items()}


FIRST = {"T1": "{case}/{case}_T1.mha", "T1c": "{case}/{case}_T1C.mha", "T2": "{case}/{case}_T2.mha",
         "FLAIR": "{case}/{case}_FLAIR.mha", "label": "{case}/{case}_truth.mha"}  # fmt: skip

# Era → path of each role, case names (the first two of one patient where an era has such), published values.
TREES: dict[str, tuple[dict[str, str], tuple[str, str, str], tuple[int, ...]]] = {
    "2012": (FIRST, ("BRATS_HG0001", "BRATS_HG0002", "BRATS_LG0001"), (1, 2)),
    "2015": (
        skeleton(flat=False),
        ("brats_tcia_pat105_0001", "brats_tcia_pat105_0002", "brats_2013_pat0001_1"),
        (1, 2, 3, 4),
    ),
    "2020": (underscored(".nii"), ("Brats18_TCIA01_131_1", "Brats18_TCIA01_131_2", "BraTS20_Training_001"), (1, 2, 4)),
    "2021": (underscored(".nii.gz"), ("BraTS2021_00000", "BraTS2021_00002", "BraTS2021_00003"), (1, 2, 4)),
    "2023": (DASHED, ("BraTS-MET-00001-000", "BraTS-MET-00001-001", "BraTS-SSA-00002-000"), (1, 2, 3)),
    "2024": (DASHED, ("BraTS-GLI-02405-100", "BraTS-GLI-02405-101", "BraTS-GLI-00005-100"), (1, 2, 3, 4)),
    "2024-ped": (DASHED, ("BraTS-PED-00001-000", "BraTS-PED-00002-000", "BraTS-PED-00003-000"), (1, 2, 3, 4)),
}
# Of the three cases of a tree, how many are of patients of their own.
PATIENTS = {"2012": 3, "2015": 2, "2020": 2, "2021": 3, "2023": 2, "2024": 2, "2024-ped": 3, "msd": 3}
SEEDS = {"T1": 0, "T1c": 1, "T2": 2, "FLAIR": 3}


def path_of(folder: Path, era: str, case: str, role: str) -> Path:
    return folder / TREES[era][0][role].format(case=case)


def write_case(folder: Path, era: str, case: str, values: tuple[int, ...] | None = None) -> None:
    """All scans of a case; each modality is `image(SEEDS[modality], case)`."""
    for role, seed in SEEDS.items():
        write(path_of(folder, era, case, role), image(seed, case))
    write(path_of(folder, era, case, "label"), segmentation(*(TREES[era][2] if values is None else values)))


def write_tree(folder: Path, era: str) -> tuple[str, str, str]:
    """Three cases; returns their names."""
    if era == "msd":
        return write_decathlon(folder)
    for case in TREES[era][1]:
        write_case(folder, era, case)
    return TREES[era][1]


def write_decathlon(folder: Path) -> tuple[str, str, str]:
    """Task01: 4-D images of FLAIR, T1, T1c, T2; 1 oedema, 2 non-enhancing, 3 enhancing."""
    cases = ("BRATS_001", "BRATS_002", "BRATS_003")
    for case in cases:
        channels = [sitk.GetImageFromArray(image(SEEDS[role], case)) for role in ("FLAIR", "T1", "T1c", "T2")]
        path = folder / "imagesTr" / f"{case}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.JoinSeries(channels), str(path))
        write(folder / "labelsTr" / f"{case}.nii.gz", segmentation(1, 2, 3), (1, 1, 1), (0, 0, 0))
    (folder / "dataset.json").write_text(
        '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, '
        '"labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}}'
    )
    return cases


def another_grid(path: Path) -> None:
    write(path, np.zeros(SHAPE, np.int16) + 1, spacing=(1, 1, 2.5))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])
