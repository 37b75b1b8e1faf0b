"""One run of a study: trained by nnU-Net's own command, resumed or skipped, then scored."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from nnssl_plugin.classification.validation_scores import validation_scores
from nnssl_plugin.errors import InputError, RunError
from nnssl_plugin.evaluation.evaluate_predictions import evaluate_predictions
from nnssl_plugin.files import write_json
from nnssl_plugin.runs.command import Display, run_command
from nnssl_plugin.runs.device import Device
from nnssl_plugin.runs.output import last_lines
from nnssl_plugin.study.record import (
    Record,
    check_record,
    is_begun,
    is_trained,
    read_record,
    weights_hash,
    write_record,
)
from nnssl_plugin.study.run import Run


@dataclass(frozen=True)
class Places:
    """Where things are. `study`: its folder. `dataset`: full name."""

    study: Path
    results: Path
    dataset: str
    configuration: str
    evaluation: str

    def fold(self, run: Run) -> Path:
        """nnU-Net's folder of the run."""
        return run.folder(self.results, self.dataset, self.configuration)

    def log(self, run: Run) -> Path:
        """Output of the run's commands."""
        return self.study / "logs" / f"{run.name}.log"

    def scores(self, run: Run) -> Path:
        """Its scores, as `nnssl_plugin evaluate` gives them."""
        return self.study / "evaluation" / f"{run.name}.json"


def is_finished(run: Run, places: Places) -> bool:
    """Whether nothing of the run is left to do."""
    record = read_record(places.study, run.name)
    evaluated = run.is_pretraining or places.scores(run).is_file()
    return record is not None and record.state == "finished" and evaluated and is_trained(places.fold(run))


def made_with(run: Run, plans_hash: str, weights: Path | None) -> dict[str, object]:
    """What the run's results depend on; the weights' file exists once their pre-training has ended."""
    made: dict[str, object] = {"plans": plans_hash, "fold": run.fold, "training cases": list(run.cases)}
    if weights:
        made["pre-trained weights"] = weights_hash(weights)
    return made


def execute(run: Run, plans_hash: str, weights: Path | None, places: Places, device: Device, display: Display) -> None:
    """Do what is left to do of a run.

    Args:
        run: to be done.
        plans_hash: of the content of its plans copy.
        weights: that it starts from, if any.
        places: where things are.
        device: where it is trained.
        display: shows what it is doing.

    Raises:
        RunError: a command failed.
        InputError: its folder holds something made otherwise.
    """
    fold, record = places.fold(run), read_record(places.study, run.name)
    made = made_with(run, plans_hash, weights)
    check_record(record, made, run.name, fold)
    if is_finished(run, places):
        return
    record = Record(made, "started", record.seconds if record else 0.0)
    write_record(places.study, run.name, record)
    started = monotonic()
    try:
        if not is_trained(fold):
            _command(_training(run, weights, places, device), run, places, device, display)
        if not run.is_pretraining:
            display.show("scoring the predictions")
            _score(run, places)
    except BaseException as error:
        state = "failed" if isinstance(error, RunError | InputError) else "started"
        seconds = record.seconds + monotonic() - started
        write_record(places.study, run.name, replace(record, state=state, seconds=seconds, error=str(error)))
        raise
    seconds = record.seconds + monotonic() - started
    write_record(places.study, run.name, replace(record, state="finished", seconds=seconds))


def _training(run: Run, weights: Path | None, places: Places, device: Device) -> list[str]:
    command = ["nnUNetv2_train", places.dataset, places.configuration, str(run.fold)]
    command += ["-tr", run.trainer, "-p", run.plans, "-device", device.name]
    if is_begun(places.fold(run)):
        return [*command, "--c"]
    return [*command, "-pretrained_weights", str(weights)] if weights else command


def _score(run: Run, places: Places) -> None:
    # In this process: a command of its own would take longer to start than to score, and draw a page for every run.
    predictions = places.fold(run) / "validation"
    if places.evaluation == "classes":
        write_json(validation_scores(predictions / "predictions.csv", places.dataset), places.scores(run))
        return
    results, _ = evaluate_predictions(places.evaluation, predictions, progress="")
    if problems := results["problems"]:
        raise RunError(f"{len(problems)} of its predictions cannot be scored, first: {problems[0]}")
    write_json(results, places.scores(run))


def _command(command: list[str], run: Run, places: Places, device: Device, display: Display) -> None:
    log = places.log(run)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {shlex.join(command)}\n")
    code = run_command(command, places.study, device.environment(), log, display, device.cores)
    if code:
        raise RunError(f"{command[0]} failed with exit code {code}. {last_lines(log)}")
