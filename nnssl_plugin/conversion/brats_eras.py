"""File names and label values of BraTS, era by era, as data.

Values are those the challenges published. Where one naming was used with two meanings of the values (BRATS 2012 was
released with two classes and again with four; BraTS-PED changed its values in 2024), names alone do not tell the era.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nnssl_plugin.conversion.label_scheme import LABEL, LabelScheme

MODALITIES = ("T1", "T1c", "T2", "FLAIR")


@dataclass(frozen=True)
class Naming:
    """How files are named: `path` matches the path below the folder with groups `case` and `suffix`.

    `roles`: suffix → modality or label; or the modalities of a 4-D file in the order of its channels.
    """

    path: re.Pattern[str]
    roles: Mapping[str, str | tuple[str, ...]]


def _beside(suffixes: str, separator: str, endings: str) -> re.Pattern[str]:
    return re.compile(rf"(?:.*/)?(?P<case>[^/]+){separator}(?P<suffix>{suffixes}){endings}")


NIFTI = r"\.(?i:nii(?:\.gz)?)"
DASHED = Naming(
    _beside("t1n|t1c|t2w|t2f|seg", "-", NIFTI),
    {"t1n": "T1", "t1c": "T1c", "t2w": "T2", "t2f": "FLAIR", "seg": LABEL},
)
UNDERSCORED = Naming(
    _beside("t1|t1ce|t2|flair|seg", "_", NIFTI),
    {"t1": "T1", "t1ce": "T1c", "t2": "T2", "flair": "FLAIR", "seg": LABEL},
)
# VSD.Brain.XX.O.MR_T1c.54514.mha, mostly in a folder of the same name, in that of the case.
SKELETON_DATABASE = Naming(
    re.compile(
        r"(?:.*/)?(?P<case>(?!VSD\.)[^/]+)/(?:VSD\.[^/]+/)?VSD\.Brain[^/]*\."
        r"(?P<suffix>MR_T1|MR_T1c|MR_T2|MR_Flair|OT)(?:\.\d+)?\.mha"
    ),
    {"MR_T1": "T1", "MR_T1c": "T1c", "MR_T2": "T2", "MR_Flair": "FLAIR", "OT": LABEL},
)
FIRST = Naming(
    re.compile(r"(?:.*/)?(?P<case>(?:Sim)?BRATS_[HL]G\d+)_(?P<suffix>T1|T1C|T2|FLAIR|truth)\.mha"),
    {"T1": "T1", "T1C": "T1c", "T2": "T2", "FLAIR": "FLAIR", "truth": LABEL},
)
DECATHLON = Naming(
    re.compile(rf"(?:.*/)?(?P<suffix>imagesTr|imagesTs|labelsTr)/(?P<case>BRATS_\d+){NIFTI}"),
    {"labelsTr": LABEL, "imagesTr": ("FLAIR", "T1", "T1c", "T2"), "imagesTs": ("FLAIR", "T1", "T1c", "T2")},
)

NAMINGS = (DASHED, UNDERSCORED, SKELETON_DATABASE, FIRST, DECATHLON)


@dataclass(frozen=True)
class Era:
    """Names and label values of a release.

    Attributes:
        title: for people.
        namings: of its files.
        cases: case names by which it is recognised.
        patient: its group `patient` is the patient of a case; a case without a match is its own patient.
        classes: name → value as published.
        regions: name → values, the largest first.
        order: value that each region writes into a prediction.
        unused: values that no class has, below the largest one.
    """

    title: str
    namings: tuple[Naming, ...]
    cases: re.Pattern[str]
    patient: re.Pattern[str]
    classes: Mapping[str, int]
    regions: Mapping[str, list[int]]
    order: list[int]
    unused: frozenset[int] = frozenset()

    @property
    def scheme(self) -> LabelScheme:
        """Regions over the values as published."""
        labels: dict[str, int | list[int]] = {"background": 0, **{name: list(of) for name, of in self.regions.items()}}
        return LabelScheme(labels, list(self.order), self.unused, convention=self.title)

    @property
    def plain_scheme(self) -> LabelScheme:
        """Classes, recoded to 1, 2, 3, … where the published values have a gap, which nnU-Net refuses."""
        values = sorted(self.classes.values())
        written = {old: new for new, old in enumerate(values, start=1)}
        recoded = {old: new for old, new in written.items() if old != new}
        labels: dict[str, int | list[int]] = {"background": 0}
        labels.update({name: written[value] for name, value in self.classes.items()})
        return LabelScheme(labels, recoded=recoded, convention=self.title)


ANY_CASE = re.compile(".+")
ONE_CASE_EACH = re.compile("(?!)")
# BraTS-GLI-00002-001: the last number counts the examinations of the patient.
EXAMINATION = re.compile(r"(?P<patient>.+-\d+)-\d{3}")
CORE = "necrotic and non-enhancing tumor core"
FOUR_CLASSES = {"necrosis": 1, "edema": 2, "non-enhancing tumor": 3, "enhancing tumor": 4}
THREE_CLASSES = {CORE: 1, "edema": 2, "enhancing tumor": 3}
NESTED = {"whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]}
# Value 3 was given up in 2017: from then on it is declared, because nnU-Net wants no gap, but may not occur.
WITH_FOUR = {"whole tumor": [1, 2, 3, 4], "tumor core": [1, 3, 4], "enhancing tumor": [4]}

ERAS = {
    "2012": Era(
        "BRATS 2012, first release",
        (FIRST,),
        ANY_CASE,
        ONE_CASE_EACH,
        {"edema": 1, "tumor core": 2},
        {"whole tumor": [1, 2], "tumor core": [2]},
        [1, 2],
    ),
    "2015": Era(
        "BRATS 2012 (four classes) to 2015",
        (SKELETON_DATABASE, FIRST),
        ANY_CASE,
        re.compile(r"(?P<patient>.*pat\d+)_\d+"),
        FOUR_CLASSES,
        WITH_FOUR,
        [2, 1, 4],
    ),
    "2020": Era(
        "BraTS 2017 to 2020",
        (UNDERSCORED,),
        re.compile(r"brats(?:17|18|19|20)_.+", re.IGNORECASE),
        # BraTS20_Training_001 counts patients; before, the last number counted their examinations.
        re.compile(r"(?P<patient>brats1[789]_.+)_\d+", re.IGNORECASE),
        {CORE: 1, "edema": 2, "enhancing tumor": 4},
        WITH_FOUR,
        [2, 1, 4],
        frozenset({3}),
    ),
    "2021": Era(
        "BraTS 2021",
        (UNDERSCORED,),
        re.compile(r"brats2021_\d+", re.IGNORECASE),
        ONE_CASE_EACH,
        {CORE: 1, "edema": 2, "enhancing tumor": 4},
        WITH_FOUR,
        [2, 1, 4],
        frozenset({3}),
    ),
    "2023": Era(
        "BraTS 2023 (GLI, MEN, MET, PED, SSA) and 2024 without resection cavity",
        (DASHED,),
        # BraTS-GLI-00005-101: examinations from 100 on are those of 2024's treated gliomas.
        re.compile(r"(?!BraTS-GLI-\d+-[1-9]\d\d$).+", re.IGNORECASE),
        EXAMINATION,
        THREE_CLASSES,
        NESTED,
        [2, 1, 3],
    ),
    "2024": Era(
        "BraTS 2024, post-treatment (4: resection cavity)",
        (DASHED,),
        re.compile(r"BraTS-GLI-\d+-[1-9]\d\d", re.IGNORECASE),
        EXAMINATION,
        {**THREE_CLASSES, "resection cavity": 4},
        {**NESTED, "resection cavity": [4]},
        [2, 1, 3, 4],
    ),
    "2024-ped": Era(
        "BraTS-PED 2024 (1: enhancing, 2: non-enhancing, 3: cyst, 4: oedema)",
        (DASHED,),
        re.compile(r"BraTS-PED-.+", re.IGNORECASE),
        EXAMINATION,
        {"enhancing tumor": 1, "non-enhancing tumor": 2, "cystic component": 3, "edema": 4},
        {
            "whole tumor": [1, 2, 3, 4],
            "tumor core": [1, 2, 3],
            "cystic component": [3],
            "enhancing tumor": [1],
        },
        [4, 2, 3, 1],
    ),
    "msd": Era(
        "Medical Segmentation Decathlon, Task01 BrainTumour",
        (DECATHLON,),
        ANY_CASE,
        ONE_CASE_EACH,
        {"edema": 1, "non-enhancing tumor": 2, "enhancing tumor": 3},
        {"whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
        [1, 2, 3],
    ),
}
