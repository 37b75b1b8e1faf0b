from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nnssl_plugin.errors import InputError

# The role of a segmentation among the scans of a case, whose other roles are modalities.
LABEL = "label"


@dataclass(frozen=True)
class LabelScheme:
    """What the values of a segmentation mean, as nnU-Net's `dataset.json` has it.

    Attributes:
        labels: name → value, or values where labels are regions.
        regions_class_order: for regions, the value that each of them writes into a prediction, in the order of `labels`
            without the background.
        unused: values declared in a region only because nnU-Net wants them without a gap; none may occur.
        recoded: published value → value written, for the values that change.
        convention: whose values these are, where a challenge defined them.
    """

    labels: dict[str, int | list[int]]
    regions_class_order: list[int] | None = None
    unused: frozenset[int] = frozenset()
    recoded: Mapping[int, int] = field(default_factory=dict)
    convention: str | None = None

    @property
    def values(self) -> set[int]:
        """All values a segmentation may have, as published."""
        written = {value for entry in self.labels.values() for value in (entry if isinstance(entry, list) else [entry])}
        published = {new: old for old, new in self.recoded.items()}
        return {published.get(value, value) for value in written - self.unused}


PLACEHOLDER = LabelScheme({"background": 0, "placeholder (image foreground)": 1})


def scheme_from_values(values: Iterable[int]) -> LabelScheme:
    """One class per value that was found in the segmentations.

    Raises:
        InputError: the values are not 0, 1, 2, … without a gap, so they must be named.
    """
    found = sorted({0, *values})
    if found[0] < 0:
        raise InputError(
            f"the segmentations hold the values {', '.join(map(str, found))}: nnU-Net takes no negative one as a label; "
            "repair the segmentations"
        )
    _check_consecutive(found, f"the segmentations hold the values {', '.join(map(str, found))}")
    return LabelScheme({"background": 0, **{f"label {value}": value for value in found[1:]}})


def scheme_from_names(assignments: Sequence[str]) -> LabelScheme:
    """Labels from assignments like `tumour=1`, or regions, from the largest to the smallest, like `whole=1,2,3`.

    Raises:
        InputError: an assignment cannot be read, or the values do not make a scheme nnU-Net can train with.
    """
    labels: dict[str, int | list[int]] = {"background": 0}
    for assignment in assignments:
        name, equals, text = assignment.rpartition("=")
        values = text.split(",")
        if not equals or not name or name in labels or not all(value.strip().isdecimal() for value in values):
            raise InputError(
                f"--label-name {assignment!r}: expected a new NAME=VALUE, or NAME=VALUE,VALUE for a region"
            )
        labels[name] = [int(value) for value in values] if len(values) > 1 else int(values[0])
    regions = [set(entry) if isinstance(entry, list) else {entry} for entry in list(labels.values())[1:]]
    if all(len(region) == 1 for region in regions):
        return _classes(labels)
    order = []
    for i, region in enumerate(regions):
        own = region.difference(*regions[i + 1 :])
        if len(own) != 1 or 0 in region:
            raise InputError(
                f"--label-name: the region {list(labels)[i + 1]!r} has the values {sorted(own)} to itself, once those of "
                "the regions after it are taken; nnU-Net needs exactly one, not 0. Name the largest region first"
            )
        order.append(own.pop())
    return LabelScheme(labels, order)


def _classes(labels: Mapping[str, int | list[int]]) -> LabelScheme:
    """Plain classes; values with a gap, like the 255 of a mask, are recoded, because nnU-Net wants none."""
    values = [entry for entry in labels.values() if isinstance(entry, int)]
    if len(set(values)) < len(values):
        raise InputError("--label-name: two classes have the same value")
    if sorted(values) == list(range(len(values))):
        return LabelScheme(dict(labels))
    recoded = {old: new for new, old in enumerate(values) if old != new}
    return LabelScheme({name: new for new, name in enumerate(labels)}, recoded=recoded)


def _check_consecutive(values: list[int], origin: str) -> None:
    if values != list(range(len(values))):
        raise InputError(
            f"{origin}: nnU-Net wants 0, 1, 2, ... without a gap. Name regions over the published values instead, like "
            "--label-name whole=1,2,4 core=1,4 enhancing=4, or recode the segmentations"
        )
