"""What grows with the number of cases: listing, case index, start of a loader, a batch; cases are hard links of a few."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil

from benchmarks.problem import DATASET, Problem
from benchmarks.recipes import DEFAULT, make_trainer
from benchmarks.table import Row
from benchmarks.timing import Times, once

IMAGES = "nnUNetPlans_3d"


def measure_growth(problem: Problem, numbers: Sequence[int]) -> list[Row]:
    """A row for each number of cases."""
    rows = []
    for count in numbers:
        rows += _of(problem, count)
    return rows


def _of(problem: Problem, count: int) -> list[Row]:
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    from nnssl_plugin.data.case_index import build_case_index
    from nnssl_plugin.data.loader import PretrainingDataLoader, intensity_statistics
    from tests.synthetic import MODALITIES

    images, made = link_cases(problem, count)
    names = MODALITIES[: problem.modalities]
    listing, reading, again, statistics, starting, drawing = (Times() for _ in range(6))
    cases: list[str] = []
    records: list = []

    def list_cases() -> None:
        cases[:] = sorted(nnUNetDatasetBlosc2.get_identifiers(str(images)))

    def read() -> None:
        records[:] = build_case_index(images, cases, names, {case: case for case in cases})

    once(list_cases, "cpu", listing)
    before = psutil.Process().memory_info().rss
    once(read, "cpu", reading)
    records.clear()
    once(read, "cpu", again)
    memory = psutil.Process().memory_info().rss - before
    once(lambda: intensity_statistics(records), "cpu", statistics)
    loader = make_trainer(problem, DEFAULT, residual=False).make_loader(augment=True)
    loaders: list[PretrainingDataLoader] = []
    patients = {case: i for i, case in enumerate(cases)}
    start = lambda: loaders.append(PretrainingDataLoader(records, patients, loader.samplers, {}))  # noqa: E731
    once(start, "cpu", starting)
    for _ in range(problem.repetitions):
        once(loaders[0].generate_train_batch, "cpu", drawing)
    parts = {
        "listing": listing,
        "case index, first start": reading,
        "later starts": again,
        "statistics": statistics,
        "loader": starting,
        "a batch": drawing,
    }
    value = ", ".join(f"{name} {1e3 * times.seconds('cpu'):.1f} ms" for name, times in parts.items())
    value += f"; index {memory / 1e6:.0f} MB; to look at an image, once, {1e3 * made:.0f} ms"
    return [Row("cases", f"{count} cases", value)]


def link_cases(problem: Problem, count: int) -> tuple[Path, float]:
    """A folder of so many hard links, index included; returns it, and the CPU seconds to look at one case's image."""
    from nnssl_plugin.data.case_index import build_case_index, gather_arrays
    from tests.synthetic import MODALITIES

    real = problem.folder / "nnUNet_preprocessed" / DATASET / IMAGES
    base = problem.folder / "links" / str(count)
    images, cache = base / IMAGES, base / "nnssl_plugin_cache" / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    cases = sorted(file.stem for file in real.glob("*.b2nd") if not file.stem.endswith("_seg"))
    names = MODALITIES[: problem.modalities]
    build_case_index(real, cases, names, {case: case for case in cases})
    looking = Times()
    for case in cases:
        once(partial(gather_arrays, real / f"{case}.b2nd", names), "cpu", looking)
    known = real.parent / "nnssl_plugin_cache" / IMAGES
    for i in range(count):
        case = cases[i % len(cases)]
        for source, target in (
            (real / f"{case}.b2nd", images / f"link{i:06d}.b2nd"),
            (real / f"{case}_seg.b2nd", images / f"link{i:06d}_seg.b2nd"),
            (real / f"{case}.pkl", images / f"link{i:06d}.pkl"),
            (known / f"{case}.npz", cache / f"link{i:06d}.npz"),
        ):
            if not target.exists():
                os.link(source, target)
    return images, looking.seconds("cpu")
