"""Everything on a GPU, in one run and one table: `python -m benchmarks.gpu -o gpu.md`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.__main__ import arguments, measure
from benchmarks.problem import Problem, folders
from benchmarks.recipes import DEFAULT, make_trainer
from benchmarks.steps import all_recipes, step_of
from benchmarks.table import Row, markdown
from benchmarks.timing import Times, once

# What nnU-Net plans for brains, on a card of 8 GB.
SIZES = ["--device", "cuda", "--patch", "128", "128", "128", "--repetitions", "6"]
TIMED_BATCHES = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; 1 where there is no GPU. Arguments are those of `python -m benchmarks`."""
    if not torch.cuda.is_available():
        print("There is no GPU here; python -m benchmarks measures on the CPU.", file=sys.stderr)
        return 1
    args = arguments().parse_args([*SIZES, *(sys.argv[1:] if argv is None else argv)])
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    with tempfile.TemporaryDirectory() as made:
        patch, folder = tuple(args.patch), Path(made)
        problem = Problem(patch, args.batch, args.modalities, args.features, 12, "cuda", args.repetitions, folder)
        with folders(folder, workers=0):
            table = markdown(everything(problem, args), f"{problem}, medians of {args.repetitions}, taken in turns")
    print(f"\n{table}")
    if args.o:
        args.o.write_text(table, encoding="utf-8")
    return 0


def everything(problem: Problem, args: argparse.Namespace) -> list[Row]:
    """What a CPU can measure too, what only a GPU can, and how many workers it takes to feed one."""
    rows = measure(problem, args)
    for recipe in args.recipes or all_recipes():
        rows += [_synchronises(problem, recipe), _compiled(problem, recipe)]
    for recipe in ("", DEFAULT, "full"):
        rows.append(workers(problem, recipe))
    return rows


def _synchronises(problem: Problem, recipe: str) -> Row:
    """Whether the host waits for the GPU within a step, by torch's sync debug mode; batches are pinned, as in a run."""
    trainer = make_trainer(problem, recipe, residual=False)
    loaded = trainer.make_loader(augment=True).generate_train_batch()
    loaded = {key: value.pin_memory() if isinstance(value, torch.Tensor) else value for key, value in loaded.items()}
    trainer.step.train(loaded)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.step.train(loaded)
        found = "never"
    except RuntimeError as error:
        found = f"yes: {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Row("waits for the GPU in a step", recipe, found, target="never")


def _compiled(problem: Problem, recipe: str) -> Row:
    """The step's forward, views to losses, under `torch.compile`, beside the same as it is."""
    trainer = make_trainer(problem, recipe, residual=False)
    step, _ = step_of(trainer)
    seconds, module = {}, trainer.step.module
    for name in ("as it is", "compiled"):
        trainer.step.module = torch.compile(module) if name == "compiled" else module
        times = Times()
        try:
            for _ in range(3):
                step()
            for _ in range(problem.repetitions):
                once(step, problem.device, times)
        except Exception as error:
            return Row("step, compiled", recipe, f"fails: {str(error).splitlines()[0][:120]}")
        seconds[name] = times.seconds(problem.device)
    ratio = seconds["compiled"] / seconds["as it is"]
    return Row("step, compiled", recipe, f"{seconds['compiled']:.4f} s, {ratio:.2f} times as it is")


def workers(problem: Problem, recipe: str) -> Row:
    """How many worker processes make batches as fast as the device eats them."""
    trainer = make_trainer(problem, recipe, residual=False)
    step, _ = step_of(trainer)
    loader = trainer.make_loader(augment=True) if recipe else trainer.get_dataloaders()[0]
    eating, making = Times(), Times()
    step()
    for _ in range(TIMED_BATCHES):
        once(step, problem.device, eating)
        once(lambda: next(loader), "cpu", making)
    eaten, made = eating.seconds(problem.device), making.seconds("cpu")
    value = f"a step {eaten:.3f} s, a batch {made:.3f} s of a worker: {made / eaten:.1f} workers"
    return Row("workers that keep up", recipe or "nnU-Net's", value)


if __name__ == "__main__":
    sys.exit(main())
