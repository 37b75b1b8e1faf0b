import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from matplotlib.figure import Figure

from nnssl_plugin.errors import InputError
from nnssl_plugin.plots.slices import show_slices
from nnssl_plugin.report.comparison import bootstrap_interval, compare
from nnssl_plugin.report.contours import SegmentedCase, show_segmentations
from nnssl_plugin.report.figures import case_scores, finetuning_curves, pretext_curves
from nnssl_plugin.report.page import (
    code,
    columns,
    details,
    facts,
    joined,
    link,
    listing,
    page,
    paragraph,
    picture,
    section,
    table,
)

REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}


def result(**cases: list[float]) -> dict:
    """What `nnssl_plugin evaluate` writes, from Dice of WT, TC and ET per case."""
    scores = {
        case: {region: {"Dice": d} for region, d in zip(REGIONS, dice, strict=True)} for case, dice in cases.items()
    }
    means = {region: {"Dice": np.mean([one[region]["Dice"] for one in scores.values()])} for region in REGIONS}
    return {"mean": means, "cases": scores}


def test_images_of_a_row_share_a_grey_scale_and_single_ones_are_wrapped() -> None:
    row = torch.stack([torch.linspace(0, 1, 64).view(8, 8), torch.linspace(0, 3, 64).view(8, 8)])
    axes = show_slices([row, row[:, :4] + 1], [["a", "b"], ["c", "d"]], (0, 1)).axes
    scales = [axis.images[0].get_clim() for axis in axes]
    assert scales[0] == scales[1] != scales[2] == scales[3]
    assert scales[0] == pytest.approx((0, 3), abs=0.1)
    wrapped = show_slices([row[:1]] * 5, [["one"]] * 5, (0, 1))
    assert [len(axis.images) for axis in wrapped.axes] == [1] * 5 + [0] * 3


class TestComparison:
    def test_differences_are_paired_by_case(self):
        # The same cases in another order.
        first, second = result(a=[0.9, 0.5, 1.0], b=[0.7, 0.5, 0.0]), result(b=[0.5, 0.6, 0.0], a=[0.9, 0.5, 0.0])
        wt, tc, et = compare(first, second)
        assert (wt.region, tc.region, et.region) == ("WT", "TC", "ET")
        np.testing.assert_allclose(wt.first - wt.second, [0.0, 0.2])
        assert [one.difference for one in (wt, tc, et)] == pytest.approx([0.1, -0.05, 0.5])

    def test_results_of_different_cases_are_refused(self):
        with pytest.raises(InputError, match="only one of them has b, c"):
            compare(result(a=[1, 1, 1], b=[1, 1, 1]), result(a=[1, 1, 1], c=[1, 1, 1]))

    def test_the_interval_of_a_constant_is_the_constant(self):
        assert bootstrap_interval(np.full(7, 0.25)) == (0.25, 0.25)
        assert bootstrap_interval(np.array([-0.5])) == (-0.5, -0.5)

    def test_the_interval_agrees_with_scipy(self):
        from scipy.stats import bootstrap

        values = np.random.default_rng(0).normal(0.1, 0.2, 40)
        reference = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000).confidence_interval
        np.testing.assert_allclose(bootstrap_interval(values), (reference.low, reference.high), atol=0.005)


class Balance(HTMLParser):
    """Fails on HTML whose elements are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


class TestPage:
    def test_all_text_is_escaped_and_elements_are_closed(self):
        evil = '<script>&"'
        made = page(
            evil,
            evil,
            facts([(evil, evil)]),
            section(
                evil,
                paragraph(evil),
                columns(paragraph(evil, "soft"), table(["a", f"b{evil}"], [["1", f"2{evil}"]], [1])),
            ),
            picture(Figure(figsize=(1, 1)), evil),
        )
        assert "<script" not in made
        parser = Balance()
        parser.feed(made.removeprefix("<!doctype html>"))
        assert parser.open == []

    def test_nothing_is_fetched(self):
        made = page("t", "s", picture(Figure(figsize=(1, 1)), "c"))
        assert re.findall(r"(?:src|href)=\"(\w+:)", made) == ["data:"]
        assert "@import" not in made
        assert "url(" not in made

    def test_a_png_file_is_embedded_as_it_is(self, tmp_path):
        path = tmp_path / "a b.png"
        Figure(figsize=(1, 1)).savefig(path)
        (data,) = re.findall('base64,([^"]+)', picture(path, "caption", width=100))
        assert base64.b64decode(data) == path.read_bytes()

    def test_number_columns_are_aligned_to_the_right(self):
        made = table(["name", "value"], [["x", "1"], ["y", "2"]], numbers=[1])
        assert re.findall(r'class="number">(\w+)<', made) == ["value", "1", "2"]

    def test_only_what_is_marked_as_html_is_html(self):
        """Wherever text may stand; a cell that begins with a tag is text as any other."""
        tag = "<b>y</b>"
        for made in (
            table([tag], [[tag]]),
            section(tag, tag),
            details(tag, tag),
            columns(tag),
            facts([(tag, tag)]),
            paragraph(tag, "soft"),
            code(tag),
            listing(tag),
            link('"><b>y</b>', tag),
            joined([tag, paragraph(tag)]),
            page(tag, tag, tag),
        ):
            assert "<b>y" not in made
            assert "&lt;b&gt;y&lt;/b&gt;" in made
        marked = table([code("a")], [[link("l.txt", "log")]])
        assert "<th><code>a</code></th>" in marked
        assert '<td><a href="l.txt">log</a></td>' in marked
        assert section("t", marked).count("&lt;") == page("t", "s", section("t", marked)).count("&lt;") == 0


class TestFigures:
    def test_every_case_is_drawn_at_its_scores(self):
        first, second = result(a=[0.9, 0.5, 1.0], b=[0.7, 0.5, 0.0]), result(a=[0.8, 0.4, 0.0], b=[0.5, 0.6, 0.0])
        axis = case_scores(["pre-trained", "from scratch"], compare(first, second)).axes[0]
        points = {tuple(point) for group in axis.collections[:4:2] for point in group.get_offsets().tolist()}
        assert points == {(0, 0.8), (0, 0.5), (1, 0.9), (1, 0.7)}
        labels = [label.get_text().replace("\n", " ") for label in axis.get_xticklabels()]
        assert labels[0] == "from scratch"

    def test_a_pretext_measure_is_drawn_with_its_chance(self):
        logging = {
            "train_losses": [3.0, 2.0],
            "train/slem/accuracy": [0.1, 0.3],
            "val/slem/accuracy": [0.2, 0.4],
            "val/slem/accuracy_chance": [0.04, 0.04],
            "val/slem/cross_entropy": [3.0, 2.0],
        }
        figure = pretext_curves(logging, steps_per_epoch=50)
        (axis,) = figure.axes
        assert [line.get_ydata().tolist() for line in axis.lines] == [[0.1, 0.3], [0.2, 0.4], [0.04, 0.04]]
        assert axis.lines[0].get_xdata().tolist() == [50, 100]

    def test_both_runs_are_in_the_fine_tuning_curves(self):
        runs = {name: {"train_losses": [1.0, 0.5], "mean_fg_dice": [0.1, 0.2]} for name in ("new", "old")}
        for axis in finetuning_curves(runs, 10).axes:
            assert [line.get_label() for line in axis.lines] == ["new", "old"]


class TestContours:
    @pytest.fixture
    def case(self, tmp_path: Path) -> SegmentedCase:
        """Tumour in slices 1 and 3, larger in 3; the prediction has no enhancing tumour."""
        image = np.arange(5 * 12 * 10, dtype=np.float32).reshape(5, 12, 10)
        reference = np.zeros((5, 12, 10), np.uint8)
        reference[1, 2:4, 2:4] = 2
        reference[3, 2:9, 2:9] = 2
        reference[3, 4:7, 4:7] = 3
        paths = {}
        for name, volume in (
            ("t1", image),
            ("flair", image * 2),
            ("ref", reference),
            ("pred", np.minimum(reference, 2)),
        ):
            paths[name] = tmp_path / f"{name}.nii.gz"
            sitk.WriteImage(sitk.GetImageFromArray(volume), str(paths[name]))
        return SegmentedCase(
            "Case-1",
            {"T1": paths["t1"], "FLAIR": paths["flair"]},
            {"reference": paths["ref"], "predicted": paths["pred"]},
        )

    def test_outlines_in_the_slice_with_most_tumour(self, case):
        axes = show_segmentations([case, case], REGIONS, "FLAIR").axes
        assert [axis.get_title() for axis in axes[:4]] == ["T1", "FLAIR", "reference", "predicted"]
        image = np.arange(5 * 12 * 10).reshape(5, 12, 10)[3]
        for axis, factor in zip(axes[:4], (1, 2, 2, 2), strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), factor * image)
        # Outlines of WT, TC and ET; without enhancing tumour, and with no necrosis, only WT is left.
        assert [len(axis.collections) for axis in axes[:4]] == [0, 0, 3, 1]
        outline = axes[2].collections[0].get_paths()[0].vertices
        np.testing.assert_allclose([outline.min(), outline.max()], [1.5, 8.5])

    def test_an_empty_reference_shows_the_middle(self, case):
        empty = SegmentedCase("Case-2", case.images, {"reference": case.images["T1"]})
        axes = show_segmentations([empty], {"WT": [-1]}, "T1").axes
        np.testing.assert_array_equal(axes[0].images[0].get_array()[0, 0], 2 * 12 * 10)
        assert not axes[2].collections
