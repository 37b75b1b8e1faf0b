"""One command, one table: what the plugin costs compared with nnU-Net's own step, loader, memory and start."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.problem import Problem, folders, write_images
from benchmarks.recipes import DEFAULT, EVERYTHING, SLEM_CONTRAST
from benchmarks.table import Row, markdown

PARTS = ("steps", "loaders", "start", "cases", "finetuning", "variants", "scaling", "communication")
KINDS = ("plain", "residual")


def arguments() -> argparse.ArgumentParser:
    """Defaults take some minutes on a CPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="of the steps; default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--patch", nargs=3, type=int, default=[40, 48, 40], help="default: 40 48 40")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--modalities", type=int, choices=(1, 2, 3, 4), default=4)
    parser.add_argument("--features", type=int, default=32, help="of the first stage; default: 32, as nnU-Net's")
    parser.add_argument(
        "--cases", nargs="+", type=int, default=[10, 100, 1000, 10000], help="numbers of cases to grow to"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", type=Path, metavar="FILE", help="file for the table, in addition to the terminal")
    return parser


def main(argv: Sequence[str] | None = None) -> str:
    """Measure, print and return the table."""
    args = arguments().parse_args(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # Six cases: four to train on, as many as the default recipe's patients of a step are drawn from.
        problem = Problem(
            tuple(args.patch), args.batch, args.modalities, args.features, 6, args.device, args.repetitions, folder
        )
        with folders(folder, workers=0):
            table = markdown(measure(problem, args), f"{problem}, medians of {args.repetitions}, taken in turns")
    print(f"\n{table}")
    if args.o:
        args.o.write_text(table, encoding="utf-8")
    return table


def measure(problem: Problem, args: argparse.Namespace) -> list[Row]:
    """Rows of all parts asked for."""
    from benchmarks.communication import estimate_communication
    from benchmarks.finetuning import measure_finetuning
    from benchmarks.growth import measure_growth
    from benchmarks.loaders import measure_loaders
    from benchmarks.memory import measure_start
    from benchmarks.scaling import measure_scaling
    from benchmarks.steps import all_recipes, measure_steps
    from benchmarks.variants import measure_variants

    write_images(problem)
    wanted = args.recipes or all_recipes()
    some = [name for name in (DEFAULT, SLEM_CONTRAST, "full", "distillation") if name in wanted] or wanted
    heavy = [name for name in (DEFAULT, "full", EVERYTHING) if name in wanted] or wanted[:1]
    residual = [kind == "residual" for kind in args.networks]
    parts: dict[str, Callable[[], list[Row]]] = {
        "steps": lambda: [row for kind in residual for row in measure_steps(problem, kind, wanted)],
        "loaders": lambda: measure_loaders(problem, some),
        "start": lambda: [row for kind in residual for row in measure_start(problem, kind, heavy)],
        "cases": lambda: measure_growth(problem, args.cases),
        "finetuning": lambda: measure_finetuning(problem),
        "variants": lambda: [row for kind in residual for row in measure_variants(problem, kind)],
        "scaling": lambda: measure_scaling(problem),
        "communication": lambda: [row for kind in residual for row in estimate_communication(problem, kind)],
    }
    return [row for part in PARTS if part in args.parts for row in parts[part]()]


if __name__ == "__main__":
    main()
