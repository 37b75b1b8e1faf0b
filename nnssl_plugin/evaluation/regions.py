"""Which label values make the regions that are scored: of BraTS, of CHAOS, or of any data set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import is_unlabelled

REGION_NAMES = {
    "WT": {"wt", "whole tumor"},
    "TC": {"tc", "tumor core"},
    "ET": {"et", "enhancing tumor", "enhancing", "gd enhancing tumor", "enhancing core"},
}
EDEMA = {"ed", "edema", "peritumoral edema", "snfh", "surrounding non enhancing flair hyperintensity"}
CORE_PARTS = {
    *("ncr", "necrosis", "necrotic", "necrotic core", "necrotic tumor core", "necrotic tumor"),
    *("net", "non enhancing", "non enhancing tumor", "non enhancing core", "non enhancing tumor core"),
    *("netc", "ncr net", "necrotic non enhancing core", "necrotic non enhancing tumor core"),
    *("necrotic and non enhancing core", "necrotic and non enhancing tumor core", "necrotic and non enhancing tumor"),
}
# Tissue of a treated glioma that belongs to no region.
OUTSIDE = {"background", "rc", "resection cavity"}
KNOWN = set().union(*REGION_NAMES.values(), EDEMA, CORE_PARTS, OUTSIDE)


@dataclass(frozen=True)
class LabelConvention:
    """`regions`: region → its label values, outermost first. `labels`: every value a label file may hold.

    `source`: where the convention is from, for messages and results.
    """

    source: str
    regions: Mapping[str, tuple[int, ...]]
    labels: frozenset[int]


BRATS_CONVENTIONS = {
    # 1 necrotic core, 2 oedema, enhancing tumour 3 (4 until 2021, when 3 was unused).
    "brats2023": LabelConvention("brats2023", {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}, frozenset({0, 1, 2, 3})),
    "brats2020": LabelConvention("brats2020", {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}, frozenset({0, 1, 2, 4})),
}


# Grey values of CHAOS's PNG files of MR.
CHAOS_CONVENTION = LabelConvention(
    "chaos",
    {"liver": (63,), "right kidney": (126,), "left kidney": (189,), "spleen": (252,)},
    frozenset({0, 63, 126, 189, 252}),
)


def organs_from_dataset_json(dataset_json: Mapping[str, Any], source: str) -> LabelConvention:
    """CHAOS's organs, by the label names of nnU-Net's `dataset.json`; others are not scored.

    Args:
        dataset_json: content of the file.
        source: the file, for messages.

    Raises:
        InputError: as `labels_from_dataset_json`, or no organ is named.
    """
    convention = labels_from_dataset_json(dataset_json, source)
    named = {_plain(name): values for name, values in convention.regions.items()}
    organs = {organ: named[organ] for organ in CHAOS_CONVENTION.regions if organ in named}
    if not organs:
        raise InputError(
            f"{source} names none of CHAOS's organs ({', '.join(CHAOS_CONVENTION.regions)}) but "
            f"{', '.join(map(repr, convention.regions))}; use `nnssl_plugin evaluate regions`, or --convention chaos for the "
            "grey values of its PNG files"
        )
    return LabelConvention(source, organs, convention.labels)


def labels_from_dataset_json(dataset_json: Mapping[str, Any], source: str) -> LabelConvention:
    """Every class or region of nnU-Net's `dataset.json` but the background.

    Args:
        dataset_json: content of the file.
        source: the file, for messages.

    Raises:
        InputError: the data set is unlabelled, has an ignore label, or names no label.
    """
    _refuse_unlabelled(dataset_json, source)
    labels = {name: _values(entry) for name, entry in dataset_json["labels"].items()}
    if "ignore" in labels:
        raise InputError(f"{source} has an 'ignore' label; only whole annotations are scored")
    regions = {name: values for name, values in labels.items() if name != "background"}
    if not regions:
        raise InputError(f"{source} names no label but the background")
    return LabelConvention(source, regions, frozenset({0}.union(*labels.values())))


def convention_from_dataset_json(dataset_json: Mapping[str, Any], source: str) -> LabelConvention:
    """Read the regions from the label names of nnU-Net's `dataset.json`.

    Names of regions count first; regions not named are put together from named classes (necrotic or non-enhancing
    core, oedema, enhancing tumour) where all of them are there and no class is of unknown meaning. Spelling (case,
    `_`, `-`, British) does not matter.

    Args:
        dataset_json: content of the file.
        source: the file, for messages.

    Raises:
        InputError: the data set is unlabelled, has an ignore label, or its names give no region or regions that are
            not nested (ET in TC in WT).
    """
    _refuse_unlabelled(dataset_json, source)
    values = {_plain(name): _values(entry) for name, entry in dataset_json["labels"].items()}
    if "ignore" in values:
        raise InputError(f"{source} has an 'ignore' label; BraTS's regions are defined on whole annotations only")
    regions = _regions(values)
    names = ", ".join(f"{name!r} {entry}" for name, entry in dataset_json["labels"].items())
    if not regions:
        raise InputError(
            f"the label names in {source} ({names}) give no region of BraTS; name the convention with "
            f"--convention {'|'.join(BRATS_CONVENTIONS)} or give another --dataset-json FILE"
        )
    ordered = list(regions)
    for outer, inner in pairwise(ordered):
        if not set(regions[inner]) <= set(regions[outer]):
            raise InputError(
                f"{source}: {inner} {regions[inner]} is not inside {outer} {regions[outer]} ({names}); these are not "
                f"BraTS's regions. Name the convention with --convention {'|'.join(BRATS_CONVENTIONS)}"
            )
    return LabelConvention(source, regions, frozenset({0}.union(*values.values())))


# By what `nnssl_plugin evaluate` calls them.
READERS = {
    "brats": convention_from_dataset_json,
    "chaos": organs_from_dataset_json,
    "regions": labels_from_dataset_json,
}


def _refuse_unlabelled(dataset_json: Mapping[str, Any], source: str) -> None:
    if is_unlabelled(dataset_json):
        raise InputError(
            f"{source} says that the data set is unlabelled: its labels are placeholders, nothing to score"
        )


def _regions(values: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    def union(names: set[str]) -> tuple[int, ...]:
        return tuple(sorted({value for name in names & values.keys() for value in values[name]}))

    named = {region: union(names) for region, names in REGION_NAMES.items()}
    enhancing, core, edema = named["ET"], union(CORE_PARTS), union(EDEMA)
    if values.keys() <= KNOWN and core and enhancing:
        named["TC"] = named["TC"] or tuple(sorted({*core, *enhancing}))
        if edema:
            named["WT"] = named["WT"] or tuple(sorted({*core, *enhancing, *edema}))
    return {region: members for region, members in named.items() if members}


def _plain(name: str) -> str:
    words = re.sub(r"[\W_]+", " ", name.casefold()).strip()
    return words.replace("tumour", "tumor").replace("oedema", "edema")


def _values(entry: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in entry) if isinstance(entry, list | tuple) else (int(entry),)
