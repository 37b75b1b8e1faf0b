"""Maps and page of one case."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tqdm import tqdm

from nnssl_plugin.nnunet.raw_cases import RawCase
from nnssl_plugin.regions.case_regions import CaseRegions, painted, regions_of
from nnssl_plugin.regions.maps import ImageGrid, write_picture
from nnssl_plugin.regions.page import COLOURS, Shown, View, write_regions_page
from nnssl_plugin.regions.readings import Reading, attended, of_sentences, of_words
from nnssl_plugin.text.words import words_of
from nnssl_plugin.zero_shot.image_report_model import ImageReportModel


def explain_report(model: ImageReportModel, case: RawCase, report: str, notes: list[str], folder: Path) -> Path:
    """Write what the words of a report look at; the page.

    Args:
        model: of stage two, against reports.
        case: preprocessed.
        report: of the case; what does not fit the context is left out.
        notes: of the report, for the page.
        folder: where to; made if it is not there.

    Raises:
        InputError: as `regions_of` and `ImageReportModel.texts`.
    """
    texts, encoder = model.texts([report]), model.heads.text
    assert encoder is not None
    kept, spans = encoder.spans(report)
    words = words_of(kept, spans)
    regions = regions_of(model, case.image)
    folder.mkdir(parents=True, exist_ok=True)
    each = attended(texts, regions)[: len(spans)]
    sentences, of_word = of_sentences(each, words), of_words(each, words)
    grid = _grid(model, case)
    view = _view(grid, case, regions, np.mean([one.attention for one in sentences], axis=0), "", folder)
    said = [one for word, one in zip(words, of_word, strict=True) if word.says_something]
    overlays = _write_maps(grid, case, regions, [*sentences, *said], view[1], folder)
    shown = [(one.title, overlays[one.file]) for one in sentences]
    return write_regions_page(Shown(case.name, [view[0]], of_word, shown, notes), folder)


def explain_modalities(model: ImageReportModel, case: RawCase, folder: Path) -> Path:
    """Write which regions of each modality those of the others look at; the page.

    Args:
        model: of stage two, against modalities.
        case: preprocessed; a modality that it lacks is left out.
        folder: where to; made if it is not there.

    Raises:
        InputError: as `regions_of`.
    """
    channels, names = len(case.image), model.target.channels
    there = [channel for channel in range(channels) if np.ptp(case.image[channel]) > 0]
    found = {channel: regions_of(model, case.image, [channel] * channels) for channel in there}
    folder.mkdir(parents=True, exist_ok=True)
    views: list[View] = []
    overlays: list[tuple[str, np.ndarray]] = []
    for channel, regions in found.items():
        name, alone = names[channel], np.zeros((1, len(regions.boxes)))
        others = [attended(other.parts, regions) for one, other in found.items() if one != channel]
        reading = Reading(name, f"modality_{name}", np.concatenate(others or [alone]).mean(axis=0))
        grid = _grid(model, case, channel)
        view, number = _view(grid, case, regions, reading.attention, name, folder)
        maps = _write_maps(grid, case, regions, [reading], number, folder)
        views.append(view)
        overlays.append((f"{name}: where the others look", maps[reading.file]))
    return write_regions_page(Shown(case.name, views, [], overlays, []), folder)


def _grid(model: ImageReportModel, case: RawCase, channel: int = 0) -> ImageGrid:
    return ImageGrid(case.files[channel], case.properties, PlansManager(model.target.plans), model.configuration)


def _view(
    grid: ImageGrid, case: RawCase, regions: CaseRegions, attention: np.ndarray, title: str, folder: Path
) -> tuple[View, int]:
    """The slice with most attention and the strongest of its regions; its number. Writes the maps of what is selected."""
    prefix, shape = f"{title}_" if title else "", case.image.shape[1:]
    preference = grid.back(regions.preference)
    grid.write(preference, folder / f"{prefix}preference.nii.gz")
    chosen = grid.back(painted(np.ones(len(attention)), regions.boxes, shape))
    grid.write((chosen > 0.5).astype(np.uint8), folder / f"{prefix}selected.nii.gz")
    whole = grid.back(painted(attention, regions.boxes, shape))
    number = int(whole.reshape(len(whole), -1).sum(axis=1).argmax())
    outlines = outlines_of(grid.back, attention, regions.boxes, shape, number)
    where = f"slice {number + 1} of {len(whole)}" if len(whole) > 1 else ""
    title = ", ".join(filter(None, (title or case.name, where)))
    return View(title, grid.grey(number), outlines, preference[number]), number


def outlines_of(
    back: Callable[[np.ndarray], np.ndarray],
    attention: np.ndarray,
    boxes: np.ndarray,
    shape: tuple[int, ...],
    number: int,
) -> dict[int, np.ndarray]:
    """Number of a region → where it is in a slice of the image; those with most attention, by number.

    Args:
        back: from the preprocessed image to the image; 0 outside of it.
        attention: of each region.
        boxes: of each region.
        shape: of the preprocessed image.
        number: of the slice.
    """
    # Where each voxel of the slice lies in the preprocessed image, whose first voxel has number 1.
    places = [back(place)[number] for place in np.indices(shape, np.float32) + 1]
    found: dict[int, np.ndarray] = {}
    for region in np.argsort(-attention).tolist():
        sides = zip(places, boxes[region], strict=True)
        mask = np.all(
            [(place > 0) & (place > low + 0.5) & (place <= high + 0.5) for place, (low, high) in sides], axis=0
        )
        if mask.any():
            found[region] = mask
        if len(found) == len(COLOURS):
            break
    return dict(sorted(found.items()))


def _write_maps(
    grid: ImageGrid, case: RawCase, regions: CaseRegions, readings: list[Reading], number: int, folder: Path
) -> dict[str, np.ndarray]:
    """NIfTI and PNG of each; name of a reading → its map over the image."""
    overlays = {}
    for one in tqdm(readings, "Maps"):
        whole = grid.back(painted(one.attention, regions.boxes, case.image.shape[1:]))
        grid.write(whole, folder / f"{one.file}.nii.gz")
        overlays[one.file] = grid.overlay(whole, number)
        write_picture(overlays[one.file], folder / f"{one.file}.png")
    return overlays
