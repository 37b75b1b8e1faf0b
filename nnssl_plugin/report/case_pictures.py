"""The worst and the best cases of an evaluation, as slices with the outlines of reference and predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nnssl_plugin.export.channels import canonical_name
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.nnunet.results_folder import dataset_json_of, raw_images_of
from nnssl_plugin.report.contours import SegmentedCase, show_segmentations
from nnssl_plugin.report.page import paragraph, picture, section

SHOWN = 2


def worst_and_best(results: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Cases with the lowest and the highest Dice, averaged over regions; none is both."""
    scores = {
        case: sum(one["Dice"] or 0.0 for one in regions.values()) / len(regions)
        for case, regions in results["cases"].items()
    }
    ranked = sorted(scores, key=lambda case: (scores[case], case))
    worst = ranked[: min(SHOWN, (len(ranked) + 1) // 2)]
    return worst, [case for case in ranked[-SHOWN:] if case not in worst][::-1]


def losses_and_gains(ours: Mapping[str, Any], theirs: Mapping[str, Any], region: str) -> list[str]:
    """Cases in which Dice of a region falls and rises most, from `theirs` to `ours` (the `cases` of two results)."""
    pairs = {case: (ours[case][region]["Dice"], theirs[case][region]["Dice"]) for case in ours.keys() & theirs.keys()}
    gains = {case: here - there for case, (here, there) in pairs.items() if here is not None and there is not None}
    ranked = sorted(gains, key=lambda case: (gains[case], case))
    return list(dict.fromkeys([*ranked[:SHOWN], *ranked[-SHOWN:][::-1]]))


def case_section(
    cases: Sequence[str],
    title: str,
    regions: Mapping[str, Sequence[int]],
    segmentations: Mapping[str, Path],
    images: Mapping[str, Sequence[Path]],
    dataset_json: Mapping[str, Any],
) -> Markup:
    """Pictures of cases; where their images or segmentations are not at hand, a line that says so.

    Args:
        cases: to be shown.
        title: of the section.
        regions: region → label values.
        segmentations: title → folder, the reference first.
        images: case → images of the raw data set, in channel order.
        dataset_json: of the data set.
    """
    ending = dataset_json.get("file_ending", ".nii.gz")
    names = channel_names(dataset_json)
    shown = []
    for case in cases:
        files = dict(zip(names, images.get(case, ()), strict=False))
        outlines = {name: folder / f"{case}{ending}" for name, folder in segmentations.items()}
        for what, paths in (("images are not in nnUNet_raw", files), ("segmentations are gone", outlines)):
            if not paths or not all(path.is_file() for path in paths.values()):
                return section(title, paragraph(f"{', '.join(cases)}. No picture: the {what}.", "soft"))
        shown.append(SegmentedCase(case, files, outlines))
    if not shown:
        return Markup("")
    # What surrounds a lesion shows best on FLAIR.
    background = next((name for name in names if canonical_name(name) == "flair"), names[-1])
    figure = show_segmentations(shown, regions, background)
    return section(title, picture(figure, f"Axial slice with most of {next(iter(regions))}; outlines on {background}."))


def run_pictures(cases: Sequence[str], title: str, results: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Pictures of cases with the outlines of several runs, if their predictions are where they were evaluated.

    Args:
        cases: to be shown.
        title: of the section.
        results: title of a run → its result of `nnssl_plugin evaluate`.
    """
    first = next(iter(results.values()))
    folders = {"reference": Path(first.get("references", ""))}
    folders |= {name: Path(result.get("predictions", "")) for name, result in results.items()}
    predictions = Path(first.get("predictions", ""))
    described = dataset_json_of(predictions)
    if described is None or not all(folder.is_dir() for folder in folders.values()):
        return section(title, paragraph(f"{', '.join(cases)}. No picture: the predictions are gone.", "soft"))
    return case_section(cases, title, first["regions"], folders, raw_images_of(predictions), read_json(described))
