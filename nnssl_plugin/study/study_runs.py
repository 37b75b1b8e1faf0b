"""The runs of a study and what is known of them: plans, folds, steps, state."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name, folder_of
from nnssl_plugin.nnunet.plans_file import configuration_of, preprocessed_folder
from nnssl_plugin.runs.device import Device
from nnssl_plugin.study.checks import check_study
from nnssl_plugin.study.cost import remaining_seconds, seconds_per_step, steps_of
from nnssl_plugin.study.execute import Places, is_finished, made_with
from nnssl_plugin.study.fairness import unfair_comparisons
from nnssl_plugin.study.label_folds import study_folds
from nnssl_plugin.study.plans_copies import kept_epochs, make_plans
from nnssl_plugin.study.record import FINAL, Record, check_record, is_begun, read_record
from nnssl_plugin.study.run import Run, runs_of
from nnssl_plugin.study.study_file import StudyFile


class StudyRuns:
    """The runs of a study and what is known of them.

    Args:
        file: the study file.
        folder: of the study.
        slots: where runs are trained, one at a time each; None: what a scheduler gives the job.

    Raises:
        InputError: the file, or what it names, is not usable.
    """

    def __init__(self, file: Path, folder: Path, slots: Sequence[Device | None]) -> None:
        self.file, self.folder, self.slots = file, folder, slots
        check_nnunet()
        self.declared = StudyFile(file)
        self.study = self.declared.study
        self.dataset = dataset_name(self.study.dataset)
        self.data = preprocessed_folder(self.dataset)
        self.images = check_study(self.study, self.dataset, slots[0] or Device())
        self.runs = self._runs(write=False)
        self.plans = make_plans(self.runs, self.dataset)
        self.steps = {run.name: steps_of(run, self.plans[run.plans]) for run in self.runs}
        self.by_name = {run.name: run for run in self.runs}
        self.controls = {recipe: self.study.control_of(recipe) for recipe in self.study.recipes}
        self.unfair = unfair_comparisons(self.runs, self.controls, self.plans, self.study.configuration)
        self.places = Places(
            folder, folder_of("nnUNet_results"), self.dataset, self.study.configuration, self.study.evaluation
        )
        self.guesses: dict[str, float] = {}

    def _runs(self, write: bool) -> list[Run]:
        return runs_of(self.study, study_folds(self.declared, self.data, self.images, write))

    def plans_hash(self, run: Run) -> str:
        """Of the content of the run's plans copy."""
        return sha256(json.dumps(self.plans[run.plans], sort_keys=True).encode()).hexdigest()

    def weights(self, run: Run) -> Path | None:
        """That the run starts from, once its pre-training has ended."""
        if not run.pretraining:
            return None
        source = self.by_name[run.pretraining]
        kept = kept_epochs(run.pretraining_steps, self.plans[source.plans]) if run.pretraining_steps else []
        return self.places.fold(source) / (f"checkpoint_epoch_{kept[0]}.pth" if kept else FINAL)

    def finished(self) -> dict[str, Record]:
        """Records of the runs of which nothing is left to do."""
        records: dict[str, Record] = {}
        for run in self.runs:
            record = read_record(self.folder, run.name)
            # Pre-trainings come first; what was fine-tuned from weights that are gone is looked at again.
            if record and is_finished(run, self.places) and (not run.pretraining or run.pretraining in records):
                records[run.name] = record
        return records

    def remaining(self) -> float | None:
        """Seconds until all is done, as far as is known."""
        guess = lambda run: self.guesses.get(self.shape(run))  # noqa: E731
        return remaining_seconds(self.runs, self.steps, self.finished(), len(self.slots), guess)

    def shape(self, run: Run) -> str:
        """What decides how long a step of the run takes."""
        return json.dumps(configuration_of(self.plans[run.plans], self.study.configuration), sort_keys=True)

    def time_steps(self) -> None:
        """Measure a step of every network that is trained, on the first slot."""
        dataset_json = read_json(self.data / "dataset.json")
        slot = self.slots[0] or Device()
        torch.set_num_threads(slot.threads)
        for run in self.runs:
            plans = self.plans[run.plans]
            outputs = PlansManager(plans).get_label_manager(dataset_json).num_segmentation_heads
            channels = len(dataset_json["channel_names"])
            if self.shape(run) not in self.guesses:
                self.guesses[self.shape(run)] = seconds_per_step(
                    plans, self.study.configuration, channels, outputs, slot.name
                )

    def describe(self) -> str:
        """The plan: every run with its state, its steps and its cases."""
        finished = self.finished()
        lines = [f"{self.study.name}: {self.dataset}, {self.study.configuration}, {len(self.runs)} runs"]
        width = max(len(run.name) for run in self.runs)
        for run in self.runs:
            state = "finished" if run.name in finished else "to resume" if is_begun(self.places.fold(run)) else "to do"
            of = "" if self.study.patients or run.fold == run.base_fold else f" (of {run.base_fold})"
            fold = f"fold {run.fold}{of}"
            cases = f"{len(run.cases)} cases{'' if run.is_pretraining else ' labelled'}"
            lines.append(f"  {run.name:{width}}  {state:9}  {self.steps[run.name]:>7} steps  {fold}, {cases}")
        total = sum(self.steps.values())
        left = sum(self.steps[run.name] for run in self.runs if run.name not in finished)
        lines += [
            f"{method} differs from its control in more than the weights: {', '.join(differ)}"
            for method, differ in self.unfair.items()
        ]
        lines.append(f"{total} steps in all, {left} to do; on {self._where()}")
        return "\n".join(lines)

    def _where(self) -> str:
        slots = [slot for slot in self.slots if slot is not None]
        if not slots:
            return f"what a scheduler gives, up to {len(self.slots)} jobs at a time"
        return "; ".join(f"GPU {slot.gpu}" if slot.gpu else f"CPU, {slot.threads} threads" for slot in slots)

    def declare_folds(self) -> None:
        """Append the study's folds to the data set's splits.

        Raises:
            InputError: see `study_folds`.
        """
        self.runs = self._runs(write=True)
        self.by_name = {run.name: run for run in self.runs}

    def check_records(self) -> None:
        """Check that what is there was made by this study.

        Raises:
            InputError: it was not.
        """
        for run in self.runs:
            if run.pretraining and not is_finished(self.by_name[run.pretraining], self.places):
                # Its weights are still to be made; the run is checked when it begins.
                continue
            made = made_with(run, self.plans_hash(run), self.weights(run))
            check_record(read_record(self.folder, run.name), made, run.name, self.places.fold(run))

    def description(self) -> dict[str, Any]:
        """Content of `study.json`."""
        return {
            "name": self.study.name,
            "dataset": self.dataset,
            "configuration": self.study.configuration,
            "evaluation": self.study.evaluation,
            "scored": self.study.patients.scored if self.study.patients else "",
            "controls": self.controls,
            "differs": self.unfair,
            "runs": [{**asdict(run), "steps": self.steps[run.name]} for run in self.runs],
        }
