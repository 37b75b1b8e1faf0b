"""What a pre-training run learned, to look at: figures, pictures and the page in its `validation` folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from nnssl_plugin.files import read_json, whole_file, write_json, write_text
from nnssl_plugin.measures.measurements import PretextMeasurements
from nnssl_plugin.plots.chance import CHANCE_SUFFIX
from nnssl_plugin.plots.denormalization import plot_denormalization
from nnssl_plugin.plots.embedding_map import plot_embedding_map
from nnssl_plugin.plots.registry import PLOTS, caption_of
from nnssl_plugin.report.page import page, paragraph, picture, section, table
from nnssl_plugin.report.probe_curves import probe_curves
from nnssl_plugin.transforms.denormalization import DenormalizationTransform

CURVES = "../progress.png"
PROBE = "../probe.json"


@dataclass
class Picture:
    """A figure of the page, its heading and what it shows."""

    figure: Figure
    title: str
    caption: str


def write_pretext_report(
    folder: Path,
    title: str,
    what: str,
    cases: int,
    measured: PretextMeasurements,
    modalities: Sequence[str],
    denormalization: DenormalizationTransform | None,
) -> dict[str, Any]:
    """Write `summary.json`, the pictures and `report.html`; returns the summary.

    Args:
        folder: the run's `validation`; `progress.png` is in its parent.
        title: of the page.
        what: ran, in a sentence.
        cases: number of training cases measured on.
        measured: what is shown.
        modalities: channel names.
        denormalization: for its picture; none where no objective sees it.
    """
    folder.mkdir(exist_ok=True)
    summary = {
        "measured_on": f"{measured.patches} unaugmented patches of {cases} training cases",
        "mean": measured.means,
        "effective_rank": measured.effective_rank,
        "effective_rank_limit": measured.rank_limit,
    }
    write_json(summary, folder / "summary.json")
    with torch.no_grad():
        pictures = _pictures(measured, modalities, denormalization)
    for name, one in pictures.items():
        with whole_file(folder / f"{name}.png") as unfinished:
            one.figure.savefig(unfinished, dpi=70 if name == "denormalization" else 110)
    write_text(folder / "report.html", _page(folder, title, f"{what}; {summary['measured_on']}", summary, pictures))
    return summary


def _pictures(
    measured: PretextMeasurements, modalities: Sequence[str], denormalization: DenormalizationTransform | None
) -> dict[str, Picture]:
    pictures = {
        name: Picture(PLOTS[name](example), name.replace("_", " "), caption_of(name))
        for name, example in measured.examples.items()
        if name in PLOTS
    }
    if denormalization is not None and measured.complete is not None and len(modalities) > 1:
        patch = measured.complete
        pictures["denormalization"] = Picture(
            plot_denormalization(denormalization, patch.image, patch.foreground, modalities, patch.patient),
            "DAD",
            "a patch before and after denormalisation, by mode and pair of modalities",
        )
    pictures["embedding"] = Picture(
        plot_embedding_map(measured.features, measured.patients, measured.modalities),
        "Features",
        "the lowest trained stage, pooled, of one-modality views, by patient and by modality. Good features group by patient",
    )
    return pictures


def _page(folder: Path, title: str, what: str, summary: Mapping[str, Any], pictures: Mapping[str, Picture]) -> str:
    measures = {**summary["mean"], "effective rank": summary["effective_rank"]}
    rows = [
        [name, f"{value:.4f}", f"{measures[name + CHANCE_SUFFIX]:.4f}" if name + CHANCE_SUFFIX in measures else ""]
        for name, value in measures.items()
        if not name.endswith(CHANCE_SUFFIX)
    ]
    curves = "Every loss part and measure by epoch, chance dotted"
    shown = [section("Curves", picture(folder / CURVES, curves))] if (folder / CURVES).is_file() else []
    if (folder / PROBE).is_file():
        about = "Frozen features, evaluated on labels that the run did not see; no checkpoint is chosen by it. Bars: sd over draws."
        shown.append(section("Probe", picture(probe_curves(read_json(folder / PROBE)), about)))
    shown += [section(one.title, picture(folder / f"{name}.png", one.caption)) for name, one in pictures.items()]
    return page(
        title,
        "Measured on unaugmented patches of the training images, without a label."
        + (" The probe alone read labels." if (folder / PROBE).is_file() else ""),
        section("Measures", paragraph(what, "soft"), table(["measure", "value", "chance"], rows, numbers=[1, 2])),
        *shown,
    )
