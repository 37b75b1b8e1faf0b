"""Stand-ins for the commands of a study's runs."""

import json
from pathlib import Path

from nnssl_plugin.runs.device import Device
from nnssl_plugin.study.study import run_study
from tests.synthetic import NAME
from tests.test_study_file import STUDY, study_file

SCORES = {"scratch": 0.5, "restoration": 0.7, "scratch-small": 0.4, "small": 0.3}


class Commands:
    """Stands in for the commands of a run: leaves what they would leave, and remembers what was called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.called: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.fails: str = ""
        self.problems: list[str] = []

    def __call__(self, command, folder, environment, log, display, cores=()) -> int:
        self.called.append(list(command))
        self.environments.append(dict(environment))
        display.show("working")
        assert command[0] == "nnUNetv2_train"
        return self.train(command)

    def evaluate(self, evaluation: str, predictions: Path, progress: str) -> tuple[dict, dict]:
        self.called.append(["evaluate", evaluation, str(predictions)])
        assert predictions.is_dir()
        assert not progress
        plans = predictions.parents[1].name
        scores = SCORES[next(name for name in sorted(SCORES, key=len, reverse=True) if f"_{name}_" in plans)]
        cases = {f"case0{i}": {"WT": {"Dice": scores + 0.1 * (i - 4)}} for i in (4, 5)}
        mean = {"WT": {"Dice": scores + 0.05}}
        return {"mean": mean, "cases": cases, "problems": self.problems, "regions": {"WT": [1]}}, {}

    def train(self, command) -> int:
        options = dict(zip(command[4::2], command[5::2], strict=False))
        fold = self.root / "nnUNet_results" / command[1] / f"{options['-tr']}__{options['-p']}__{command[2]}"
        fold = fold / f"fold_{command[3]}"
        (fold / "validation").mkdir(parents=True, exist_ok=True)
        if self.fails and self.fails in options["-p"]:
            (fold / "checkpoint_latest.pth").write_text("half")
            return 1
        if "-pretrained_weights" in options:
            assert Path(options["-pretrained_weights"]).is_file()
        (fold / "checkpoint_final.pth").write_text(f"weights of {options['-p']}")
        (fold / "validation" / "summary.json").write_text("{}")
        return 0

    def trained(self) -> list[str]:
        return [command[command.index("-p") + 1] for command in self.called if command[0] == "nnUNetv2_train"]


def splits(commands: Commands) -> list[dict]:
    return json.loads((commands.root / "nnUNet_preprocessed" / NAME / "splits_final.json").read_text(encoding="utf-8"))


def run(commands: Commands, text: str = STUDY, dry_run: bool = False, slots: int = 1) -> int:
    return run_study(study_file(commands.root, text), commands.root / "tiny", [Device()] * slots, dry_run)
