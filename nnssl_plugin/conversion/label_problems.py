"""Whether the values of the segmentations are those that the data set declares."""

from collections.abc import Mapping, Sequence

from nnssl_plugin.conversion.case import Case, Problems
from nnssl_plugin.conversion.checked import CheckedCase
from nnssl_plugin.conversion.label_scheme import LabelScheme, scheme_from_values
from nnssl_plugin.errors import InputError


def scheme_of(
    cases: Sequence[Case], checked: Mapping[str, CheckedCase], declared: LabelScheme | None, problems: Problems
) -> LabelScheme | None:
    """Meaning of the labels; adds to `problems` the cases with values it does not know.

    Args:
        cases: with and without a label.
        checked: case → what was seen of it.
        declared: what the converter or the user says; None to make each value that occurs a class.
        problems: of the conversion.

    Returns:
        None where no case has a label.

    Raises:
        InputError: the values that occur cannot be classes.
    """
    values = {case.name: set(checked[case.name].values) for case in cases if case.label}
    if not values:
        return None
    scheme = declared or _scheme_from(values)
    files = {case.name: case.label for case in cases}
    source = f" ({scheme.convention})" if scheme.convention else ""
    for case, inside in values.items():
        if inside - scheme.values:
            problems[case] = [
                f"its segmentation {files[case]} has the values {sorted(inside - scheme.values)}; known are "
                f"{sorted(scheme.values)}{source}. Is it of another convention?"
            ]
    return scheme


def absent_labels(scheme: LabelScheme, cases: Sequence[Case], checked: Mapping[str, CheckedCase]) -> list[str]:
    """Values that are declared and occur in no case, each with its meaning: `1 (liver)`."""
    occurring = set().union(*(checked[case.name].values for case in cases))
    lines = []
    for value in sorted(scheme.values - occurring - {0}):
        written = scheme.recoded.get(value, value)
        meaning = [
            name for name, of in scheme.labels.items() if written == of or (isinstance(of, list) and written in of)
        ]
        lines.append(f"{value} ({', '.join(meaning)})")
    return lines


def _scheme_from(values: Mapping[str, set[int]]) -> LabelScheme:
    occurring = set().union(*values.values())
    try:
        return scheme_from_values(occurring)
    except InputError as error:
        gap = next(value for value in range(len(occurring) + 1) if value not in occurring | {0})
        # A negative value is wrong whatever else occurs; else those beyond the gap are in question.
        suspects = {value for value in occurring if value < 0} or {value for value in occurring if value > gap}
        cases = {value: [case for case, inside in values.items() if value in inside] for value in sorted(suspects)}
        rarest = min(cases, key=lambda value: len(cases[value]))
        example = f"{rarest} is in {len(cases[rarest])} of {len(values)} cases, like {cases[rarest][0]}"
        raise InputError(f"{error} ({example})") from None
