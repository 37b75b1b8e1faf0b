"""The steps of the demo: what an nnU-Net user would type, on phantoms."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from nnssl_plugin.demo.cohort import write_phantoms, write_split
from nnssl_plugin.demo.layout import (
    COMPARED,
    CONFIGURATION,
    DATASET,
    FINETUNING,
    PHANTOMS,
    PREPROCESSED,
    PRETRAINING,
    RAW,
    RESULTS,
    SCRATCH,
    UNLABELLED,
    Run,
)
from nnssl_plugin.demo.report import write_demo_report
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.steps import Step
from nnssl_plugin.nnunet.trainers_folder import trainers_folder


def demo_environment(folder: Path) -> dict[str, str]:
    """Environment of the commands: nnU-Net's folders are the demo's own, whatever the user's variables say."""
    return {
        **os.environ,
        **{variable: str(folder / variable) for variable in (RAW, PREPROCESSED, RESULTS)},
        "nnUNet_extTrainer": str(trainers_folder()),
        "nnUNet_n_proc_DA": "2",
        "nnUNet_def_n_proc": "2",
        # Compiling takes longer than all the steps it would speed up.
        "nnUNet_compile": "f",
        "nnUNet_wandb_enabled": "0",
        # Threads that spin while they wait take their core from the loader's workers.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
        "TQDM_MININTERVAL": "1",
    }


def demo_steps(size: DemoSize, device: str) -> list[Step]:
    """The whole chain, from phantoms to the report."""
    cohort = str(asdict(size))
    preprocessed = f"{PREPROCESSED}/{DATASET}"
    steps = [
        Step(
            "phantoms",
            f"{size.training + size.test} labelled and {size.unlabelled} unlabelled phantom brains",
            partial(write_phantoms, size=size),
            cohort,
            outputs=(PHANTOMS,),
        ),
        Step(
            "convert",
            "nnU-Net data sets, the unlabelled cases in one of their own",
            _words(f"nnssl_plugin convert brats -i {PHANTOMS} -d 501 --unlabelled-id 502 --name Phantom --copy"),
            outputs=(f"{RAW}/{DATASET}", f"{RAW}/{UNLABELLED}"),
        ),
        Step("split", f"Fold 0: {size.training} training, {size.test} test", partial(write_split, size=size), cohort),
        Step(
            "preprocess",
            "Planning and preprocessing by nnU-Net",
            _words(f"nnUNetv2_plan_and_preprocess -d 501 -c {CONFIGURATION} -npfp 1 -np 1"),
            outputs=(preprocessed,),
        ),
        Step(
            "align",
            "The unlabelled cases, preprocessed by the same plans",
            _words(f"nnssl_plugin align --pretrain 502 --target 501 -c {CONFIGURATION} -np 1"),
            outputs=(f"{PREPROCESSED}/{UNLABELLED}",),
        ),
    ]
    for run, command in _plans(size).items():
        name = run.plans
        steps.append(Step(f"plan_{name}", f"Plans copy {name}", command, outputs=(f"{preprocessed}/{name}.json",)))
    weights = ("-pretrained_weights", PRETRAINING.checkpoint)
    steps += [
        _training("pretrain", "Pre-training, no labels", PRETRAINING, size.pretraining_epochs, device),
        _training("finetune", "Fine-tuning", FINETUNING, size.finetuning_epochs, device, weights),
        _training("scratch", "The same from scratch", SCRATCH, size.finetuning_epochs, device),
    ]
    for run in COMPARED:
        command = _words(f"nnssl_plugin evaluate brats {run.validation} -o {run.evaluation}.json")
        steps.append(Step(f"evaluate_{run.evaluation}", f"Dice of the test cases, {run.title}", command))
    report = partial(write_demo_report, size=size, steps=tuple(steps), device=device)
    return [*steps, Step("report", "Report", report, cohort)]


def _plans(size: DemoSize) -> Mapping[Run, tuple[str, ...]]:
    """One plans copy per run: fine-tuning and scratch differ in their names only."""
    pretraining = {
        "epochs": size.pretraining_epochs,
        "iterations_per_epoch": size.pretraining_iterations,
        "validation_iterations": size.validation_iterations,
        "save_every": size.save_every,
        "seed": size.seed,
        "datasets": "[502]",
    }
    finetuning = {
        "epochs": size.finetuning_epochs,
        "iterations_per_epoch": size.finetuning_iterations,
        "validation_iterations": size.validation_iterations,
        "save_every": size.save_every,
        # Peak and warm-up of long schedules leave the fresh segmentation layers untrained in so few steps: scratch's.
        "optimizer": "sgd",
        "initial_lr": 0.01,
        "seed": size.seed,
    }
    return {
        PRETRAINING: _plan(PRETRAINING, size, size.pretraining_batch_size, "pretraining", pretraining),
        FINETUNING: _plan(FINETUNING, size, size.finetuning_batch_size, "finetuning", finetuning),
        SCRATCH: _plan(SCRATCH, size, size.finetuning_batch_size, "finetuning", finetuning),
    }


def _plan(run: Run, size: DemoSize, batch_size: int, section: str, settings: Mapping[str, object]) -> tuple[str, ...]:
    patch, features = (" ".join(map(str, numbers)) for numbers in (size.patch_size, size.features))
    command = f"nnssl_plugin plan -d 501 -p nnUNetPlans -o {run.plans} -c {CONFIGURATION}"
    sizes = f"--batch-size {batch_size} --patch-size {patch} --features {features}"
    return _words(f"{command} {sizes} --set {' '.join(f'{section}.{key}={value}' for key, value in settings.items())}")


def _training(name: str, title: str, run: Run, epochs: int, device: str, weights: tuple[str, ...] = ()) -> Step:
    command = _words(f"nnUNetv2_train 501 {CONFIGURATION} 0 -tr {run.trainer} -p {run.plans} -device {device}")
    return Step(
        name,
        title,
        (*command, *weights),
        outputs=(run.results,),
        resumed=(*command, "--c"),
        checkpoints=tuple(f"{run.fold}/checkpoint_{which}.pth" for which in ("latest", "final")),
        epochs=epochs,
        # Fine-tuning and its control do not need each other.
        group="" if run is PRETRAINING else "compared",
    )


def _words(command: str) -> tuple[str, ...]:
    return tuple(command.split())
