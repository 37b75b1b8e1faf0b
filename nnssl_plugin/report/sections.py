"""Parts of a page that more than one kind of report shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nnssl_plugin.files import read_json
from nnssl_plugin.plots.chance import CHANCE_SUFFIX
from nnssl_plugin.plots.registry import PLOTS, caption_of
from nnssl_plugin.report.comparison import RegionComparison
from nnssl_plugin.report.figures import case_scores, pretext_curves
from nnssl_plugin.report.page import columns, joined, paragraph, picture, section, table


def dice_section(titles: Sequence[str], compared: Sequence[RegionComparison], note: str) -> Markup:
    """Table and figure of two runs on the same test cases.

    Args:
        titles: of the first and the second run.
        compared: regions.
        note: what a reader must know before the figures.
    """
    rows = [
        [
            one.region,
            f"{one.first.mean():.3f}",
            f"{one.second.mean():.3f}",
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
            f"{int((one.first > one.second).sum())} of {len(one.first)}",
        ]
        for one in compared
    ]
    header = ["region", *titles, "difference", "95 % interval", "cases better"]
    return section(
        "Dice of the test cases",
        paragraph(note, "note"),
        table(header, rows, numbers=range(1, 6)),
        paragraph(
            "WT whole tumour, TC tumour core, ET enhancing tumour; a region empty in reference and prediction counts 1 "
            "(BraTS). The interval is a bootstrap of the mean difference over these cases; it covers one seed only.",
            "soft",
        ),
        picture(case_scores(titles, compared), "Every test case, joined between the runs; the bars are means.", 640),
    )


def pretraining_section(validation: Path, logging: Mapping[str, Any], steps_per_epoch: int) -> Markup:
    """What a pre-training learned: curves, final measures and the objectives' pictures.

    Args:
        validation: the run's `validation` folder.
        logging: what `PretextLogger` keeps in a checkpoint.
        steps_per_epoch: optimisation steps.
    """
    summary = read_json(validation / "summary.json")
    means, limit = summary["mean"], f"at most {summary['effective_rank_limit']}"
    rows = [
        [
            name.replace("/", ": ").replace("_", " "),
            f"{value:.3f}",
            f"{means[name + CHANCE_SUFFIX]:.3f}" if name + CHANCE_SUFFIX in means else "",
        ]
        for name, value in means.items()
        if not name.endswith(CHANCE_SUFFIX)
    ]
    rows.append(["effective rank of the features", f"{summary['effective_rank']:.1f}", limit])
    pictures = [
        picture(path, f"{name}: {caption_of(name)}") for name in PLOTS if (path := validation / f"{name}.png").is_file()
    ]
    return section(
        "Pre-training",
        paragraph(
            "Without any label. Accuracy and retrieval should rise above chance, the error of hidden voxels should fall "
            "below that of predicting the mean of the patch, which is its chance level; some hundred steps are few."
        ),
        picture(pretext_curves(logging, steps_per_epoch), "After each epoch; the dotted line is chance."),
        columns(
            joined(
                [
                    table(["measured at the end", "value", "chance"], rows, numbers=[1, 2]),
                    paragraph(f"On {summary['measured_on']}.", "soft"),
                    *pictures[:-1],
                ]
            ),
            *pictures[-1:],
        ),
    )
