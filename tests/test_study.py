import argparse
import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nnssl_plugin.commands import study as study_command
from nnssl_plugin.demo.phantom import write_phantom_cohort
from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.command import installed_script, run_command
from nnssl_plugin.runs.device import Device
from nnssl_plugin.runs.output import LiveLine
from nnssl_plugin.study import execute
from nnssl_plugin.study.cost import remaining_seconds, steps_of
from nnssl_plugin.study.record import Record
from nnssl_plugin.study.run import Run
from nnssl_plugin.study.study import run_study
from tests.scans import run_convert
from tests.study_commands import Commands, run, splits
from tests.synthetic import NAME, make_dataset_json, make_plans
from tests.test_study_file import STUDY, study_file


def test_every_run_is_trained_once_and_pre_trainings_are_shared(commands: Commands, capsys) -> None:
    assert run(commands) == 0
    assert commands.trained() == [
        "tiny_restoration_pretrain_seed5",
        "tiny_small_pretrain_seed5",
        *(
            f"tiny_{method}_1patients_draw{draw}_seed7"
            for draw in (1, 2)
            for method in ("scratch", "scratch-small", "restoration_warmup", "restoration_steep", "small_warmup")
        ),
        *(f"tiny_{method}_100percent_seed1" for method in ("scratch", "restoration_warmup", "restoration_steep")),
    ]
    weights = {
        command[command.index("-p") + 1]: command[-1] for command in commands.called if "-pretrained_weights" in command
    }
    assert {Path(path).parents[1].name for name, path in weights.items() if "restoration" in name} == {
        "SSLPretrainTrainer__tiny_restoration_pretrain_seed5__3d_fullres"
    }
    assert not any("scratch" in name for name in weights)
    assert "0.7" in capsys.readouterr().out


def test_a_second_start_does_nothing_again(commands: Commands) -> None:
    run(commands)
    before = len(commands.called)
    assert run(commands) == 0
    assert len(commands.called) == before


def test_label_subsets_are_folds_of_their_own(commands: Commands) -> None:
    base = splits(commands)
    run(commands)
    after = splits(commands)
    assert after[: len(base)] == base
    for extra in after[len(base) :]:
        assert extra["val"] == base[0]["val"]
        assert len(extra["train"]) == 1
        assert set(extra["train"]) < set(base[0]["train"])
        assert extra["nnssl_plugin"]["label subset of fold"] == 0
    folds = {command[command.index("-p") + 1]: int(command[3]) for command in commands.called if "-p" in command}
    assert folds["tiny_restoration_pretrain_seed5"] == 0
    assert folds["tiny_scratch_100percent_seed1"] == 0
    subset = folds["tiny_scratch_1patients_draw1_seed7"]
    assert subset >= len(base)
    assert folds["tiny_restoration_warmup_1patients_draw1_seed7"] == subset
    # Another study uses the same folds again.
    run_study(
        study_file(commands.root, STUDY.replace("name: tiny", "name: other")), commands.root / "o", [Device()], False
    )
    assert splits(commands) == after


def test_without_splits_they_are_nnunets_own(commands: Commands) -> None:
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    (commands.root / "nnUNet_preprocessed" / NAME / "splits_final.json").unlink()
    run(commands)
    expected = generate_crossval_split([f"case0{i}" for i in range(6)], seed=12345, n_splits=5)
    assert [[list(fold["train"]), list(fold["val"])] for fold in splits(commands)[:5]] == [
        [list(fold["train"]), list(fold["val"])] for fold in expected
    ]


def test_a_dry_run_writes_nothing(commands: Commands, capsys) -> None:
    def files() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in commands.root.rglob("*") if path.name != "tiny.yaml")

    before = files()
    assert run(commands, dry_run=True) == 0
    assert files() == before
    assert commands.called == []
    output = capsys.readouterr().out
    assert "15 runs" in output
    # Two pre-trainings of 250 × 250 steps, 13 trainings of 2 × 250.
    assert f"{2 * 62500 + 13 * 500} steps in all" in output
    assert re.search(r"about \d+:\d\d min left", output)


def scored_runs(commands: Commands) -> set[str]:
    with (commands.root / "tiny" / "results.csv").open() as table:
        return {row["runs"] for row in csv.DictReader(table)}


def test_a_failed_run_is_reported_and_others_go_on(commands: Commands, capsys) -> None:
    commands.fails = "small_pretrain"
    assert run(commands) == 1
    output = capsys.readouterr()
    assert "tiny_small_pretrain_seed5_fold0 failed: nnUNetv2_train failed with exit code 1" in output.err
    assert (
        "tiny_small_warmup_1patients_draw1_seed7_fold0 failed: not run, because tiny_small_pretrain_seed5_fold0 failed"
        in output.err
    )
    assert "tiny_scratch-small_1patients_draw2_seed7" in commands.trained()
    assert "0 of 2" in scored_runs(commands)

    # The next start resumes it and does the rest.
    commands.fails = ""
    commands.called.clear()
    assert run(commands) == 0
    resumed = commands.called[0]
    assert resumed[resumed.index("-p") + 1] == "tiny_small_pretrain_seed5"
    assert resumed[-1] == "--c"
    assert len(commands.trained()) == 3
    assert scored_runs(commands) == {"2 of 2", "1 of 1"}


def test_a_missing_evaluation_is_made_without_training(commands: Commands) -> None:
    run(commands)
    (commands.root / "tiny" / "evaluation" / "tiny_scratch_1patients_draw1_seed7_fold0.json").unlink()
    commands.called.clear()
    run(commands)
    assert [command[:2] for command in commands.called] == [["evaluate", "regions"]]


def test_predictions_that_cannot_be_scored_fail_the_run(commands: Commands, capsys) -> None:
    commands.problems = ["case04: no prediction"]
    assert run(commands) == 1
    assert "1 of its predictions cannot be scored, first: case04: no prediction" in capsys.readouterr().err
    assert not list((commands.root / "tiny" / "evaluation").iterdir())
    # They are scored once that is put right, without training again.
    commands.problems, trained = [], len(commands.trained())
    assert run(commands) == 0
    assert len(commands.trained()) == trained


def fold_folder(commands: Commands, plans: str, trainer: str) -> Path:
    (found,) = (commands.root / "nnUNet_results" / NAME / f"{trainer}__{plans}__3d_fullres").iterdir()
    return found


def test_what_was_fine_tuned_from_other_weights_is_not_trusted(commands: Commands) -> None:
    run(commands)
    weights = fold_folder(commands, "tiny_small_pretrain_seed5", "SSLPretrainTrainer") / "checkpoint_final.pth"
    weights.write_text("others")
    with pytest.raises(
        InputError, match="other pre-trained weights than tiny_small_warmup_1patients_draw1_seed7_fold0"
    ):
        run(commands)


def test_weights_that_are_made_again_are_noticed(commands: Commands, capsys) -> None:
    run(commands)
    folder = fold_folder(commands, "tiny_small_pretrain_seed5", "SSLPretrainTrainer")
    (folder / "checkpoint_final.pth").unlink()
    (folder / "checkpoint_latest.pth").unlink(missing_ok=True)
    commands.train = lambda command: (folder / "checkpoint_final.pth").write_text("other weights") and 0
    assert run(commands) == 1
    assert "made with other pre-trained weights" in capsys.readouterr().err


def test_a_changed_study_is_refused(commands: Commands) -> None:
    run(commands)
    called = len(commands.called)
    with pytest.raises(
        InputError, match="was made with other plans than tiny_restoration_pretrain_seed5_fold0 has now"
    ):
        run(commands, STUDY.replace("finetuning.epochs=2", "finetuning.epochs=3"))
    assert len(commands.called) == called


def test_a_study_may_grow(commands: Commands) -> None:
    run(commands)
    commands.called.clear()
    assert run(commands, STUDY.replace("seeds: [7]", "seeds: [7, 8]")) == 0
    assert len(commands.trained()) == 10
    assert all("seed8" in name for name in commands.trained())


def test_results_of_somebody_else_are_refused(commands: Commands) -> None:
    folder = commands.root / "nnUNet_results" / NAME / "SSLScratchTrainer__tiny_scratch_100percent_seed1__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_text("somebody's")
    with pytest.raises(InputError, match="this study did not make"):
        run(commands)
    assert commands.called == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dataset: 901", "dataset: 902", "902"),
        ("plans: Tiny", "plans: Tinny", "no plans 'Tinny'"),
        ("3d_fullres", "3d_lowres", "no configuration '3d_lowres'"),
        ("plans: Tiny", "plans: Tiny\nfolds: [1]", r"line 6: folds: names 1; .* has 1 folds"),
        ("count: 1,", "count: 5,", r"line 11: labels\.0: label count 5: there are 4 patients"),
        ("--features 4 8", "--features four 8", "line 7: plan_options: .*invalid int value: 'four'"),
        ("count: 1,", "count: 4,", r"line 11: labels\.0: these are all 4 patients; write 'fraction: 1'"),
        ("draws: [1, 2]", "draws: [1, 2, 3, 4, 5]", r"line 11: labels\.0\.draws: \d and \d draw the same patients"),
        ("--features 4 8", "--patch-size 7 7 7", "patch"),
        ("warmup: {}", "warmup: {trainer: SSLFintuneTrainer}", "no trainer 'SSLFintuneTrainer'"),
    ],
)
def test_what_the_file_names_must_exist(commands: Commands, old: str, new: str, message: str) -> None:
    before = splits(commands)
    with pytest.raises(InputError, match=message):
        run(commands, STUDY.replace(old, new))
    assert commands.called == []
    assert splits(commands) == before
    assert not (commands.root / "tiny").exists()


def test_labels_that_the_evaluation_does_not_know_are_refused(commands: Commands) -> None:
    with pytest.raises(InputError, match=r"`evaluation: chaos` cannot score .* write `evaluation: regions`"):
        run(commands, STUDY.replace("evaluation: regions", "evaluation: chaos"))
    assert not commands.called


def test_an_unlabelled_data_set_is_refused(commands: Commands) -> None:
    path = commands.root / "nnUNet_preprocessed" / NAME / "dataset.json"
    path.write_text(json.dumps(make_dataset_json(["a"], nnssl_plugin={"unlabelled": True})))
    with pytest.raises(InputError, match="unlabelled"):
        run(commands)


def test_data_that_is_not_preprocessed_is_refused(commands: Commands) -> None:
    data = commands.root / "nnUNet_preprocessed" / NAME
    (data / "nnUNetPlans_3d").rename(data / "elsewhere")
    with pytest.raises(InputError, match="nnUNetv2_preprocess -d 901 -plans_name Tiny -c 3d_fullres"):
        run(commands)


def test_tables_and_page_come_from_the_folder_alone(commands: Commands, capsys) -> None:
    run(commands)
    folder = commands.root / "tiny"
    with (folder / "results.csv").open() as file:
        rows = {(row["labels"], row["recipe"]): row for row in csv.DictReader(file)}
    one = rows["1patients", "restoration, warmup"]
    assert (one["mean"], one["difference"], one["runs"], one["cases"]) == ("0.7500", "+0.2000", "2 of 2", "2")
    assert (one["95 % interval"], one["draws better"]) == ("+0.2000 to +0.2000", "2 of 2")
    assert (one["each draw"], one["each pre-training"]) == ("+0.200 +0.200", "+0.200")
    # Each recipe is compared with its own control.
    assert rows["1patients", "small, warmup"]["difference"] == "-0.1000"
    assert rows["100percent", "scratch"]["difference"] == ""
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(http|//)', page)

    for name in ("report.html", "results.csv", "results.json", "results.md", "results.tex"):
        (folder / name).unlink()
    moved = folder.rename(commands.root / "moved")
    (commands.root / "nnUNet_results").rename(commands.root / "gone")
    (commands.root / "nnUNet_preprocessed").rename(commands.root / "gone too")
    capsys.readouterr()
    parser = argparse.ArgumentParser()
    study_command.add_arguments(parser)
    assert study_command.run(parser.parse_args([str(moved)])) == 0
    assert "restoration, steep" in capsys.readouterr().out
    assert (moved / "report.html").read_text(encoding="utf-8") == page
    assert json.loads((moved / "results.json").read_text(encoding="utf-8"))["study"] == "tiny"


def test_a_folder_that_is_no_study_cannot_be_rendered(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    study_command.add_arguments(parser)
    with pytest.raises(InputError, match="not a study's folder"):
        study_command.run(parser.parse_args([str(tmp_path)]))


def test_an_interrupt_ends_running_commands(commands: Commands, monkeypatch, capsys) -> None:
    ended = []

    begun = threading.Event()

    def interrupt() -> None:
        begun.wait(timeout=300)
        os.kill(os.getpid(), signal.SIGTERM)

    def command(*arguments, **others) -> int:
        live = arguments[4]
        begun.set()
        try:
            while True:
                live.show(None)
                time.sleep(0.01)
        finally:
            ended.append(1)

    monkeypatch.setattr(execute, "run_command", command)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # As Ctrl-C would, once the first command runs.
    threading.Thread(target=interrupt, daemon=True).start()
    assert run(commands) == 130
    signal.signal(signal.SIGTERM, before)
    assert ended
    output = capsys.readouterr()
    assert "Start it again" in output.err
    assert "FAILED" not in output.out
    record = json.loads(
        (commands.root / "tiny" / "runs" / "tiny_restoration_pretrain_seed5_fold0.json").read_text(encoding="utf-8")
    )
    assert record["state"] == "started"


class TestDevices:
    def test_runs_share_the_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from nnssl_plugin.runs.device import devices

        monkeypatch.setattr("psutil.Process.cpu_affinity", lambda _: list(range(9)))
        slots = devices(None, 4)
        assert [slot.cores for slot in slots] == [(0, 4, 8), (1, 5), (2, 6), (3, 7)]
        assert slots[1].environment()["OMP_NUM_THREADS"] == "2"
        assert slots[0].name == "cpu"
        assert [slot.cores for slot in devices(None, None)] == [tuple(range(9))]
        # More runs than cores: they share them in turn.
        monkeypatch.setattr("psutil.Process.cpu_affinity", lambda _: [0, 1])
        assert [slot.cores for slot in devices(None, 3)] == [(0,), (1,), (0,)]

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
    def test_a_command_stays_on_its_cores(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        core = min(os.sched_getaffinity(0))
        # The command waits, as Python's own start does, until it has been sent to its cores.
        code = "import os, time; time.sleep(0.5); print(os.sched_getaffinity(0))"
        (tmp_path / "where").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}"\n', encoding="utf-8")
        (tmp_path / "where").chmod(0o755)
        monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
        log = tmp_path / "log"
        assert run_command(["where"], tmp_path, os.environ, log, LiveLine(), cores=[core]) == 0
        assert log.read_text(encoding="utf-8").strip() == str({core})

    def test_predictions_are_written_by_as_many_processes_as_there_is_room_for(self, monkeypatch) -> None:
        """Each imports torch before it writes; what the user says counts."""
        monkeypatch.delenv("nnUNet_def_n_proc", raising=False)
        slots = [Device(cores=(0,)), Device(cores=(0, 1, 2)), Device("0")]
        assert [slot.environment()["nnUNet_def_n_proc"] for slot in slots] == ["1", "2", "2"]
        monkeypatch.setenv("nnUNet_def_n_proc", "5")
        assert slots[0].environment()["nnUNet_def_n_proc"] == "5"

    @pytest.mark.parametrize("visible", ["", "4, GPU-57a,2"])
    def test_each_gpu_sees_one_run(self, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
        """Of the GPUs that the user has left visible, which torch numbers from 0."""
        from nnssl_plugin.runs.device import devices

        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        slots = devices(["0", "1"], None)
        assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in slots] == (
            ["4", "GPU-57a"] if visible else ["0", "1"]
        )
        assert {slot.name for slot in slots} == {"cuda"}

    def test_the_users_trainers_are_found_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from nnssl_plugin.nnunet.trainers_folder import trainers_folder

        monkeypatch.setenv("nnUNet_extTrainer", "/my/trainers")
        assert Device().environment()["nnUNet_extTrainer"] == f"/my/trainers:{trainers_folder()}"

    @pytest.mark.parametrize("arguments", [["--parallel", "0"], ["--gpus", "99"], ["--gpus", "a"]])
    def test_impossible_devices(self, tmp_path: Path, arguments: list[str]) -> None:
        parser = argparse.ArgumentParser()
        study_command.add_arguments(parser)
        with pytest.raises(InputError, match=arguments[0]):
            study_command.run(parser.parse_args([str(study_file(tmp_path)), *arguments]))


def study_command_line(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    study_command.add_arguments(parser)
    return study_command.run(parser.parse_args([str(argument) for argument in arguments]))


def test_every_run_has_a_command_for_other_schedulers(commands: Commands, capsys) -> None:
    file = study_file(commands.root)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(InputError, match="has not been prepared"):
            study_command_line(file, "--run", "tiny_scratch_100percent_seed1_fold0")
        assert study_command_line(file, "--print-commands") == 0
        assert not commands.called
        printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("nnssl_plugin study")]
        assert len(printed) == 15
        lines = dict(line.split("--run ")[1].partition("  # after ")[::2] for line in printed)
        name, first = "tiny_small_warmup_1patients_draw1_seed7_fold0", "tiny_small_pretrain_seed5_fold0"
        assert lines[name] == first
        assert lines[first] == ""
        with pytest.raises(InputError, match=f"do the run {first} first"):
            study_command_line(file, "--run", name)
        with pytest.raises(InputError, match="no such run"):
            study_command_line(file, "--run", "tiny")
        for run_name in (first, name):
            assert study_command_line(*shlex.split(printed[0])[2:-1], run_name) == 0
        assert len(commands.trained()) == 2
        capsys.readouterr()
        assert study_command_line(file, "--print-commands") == 0
        assert "13 of 15 runs" in capsys.readouterr().out
    finally:
        signal.signal(signal.SIGTERM, before)
    study_command_line(commands.root / "tiny")
    assert "1 of 2" in scored_runs(commands)


def test_a_run_that_fails_by_itself_says_so(commands: Commands, capsys) -> None:
    file, name = study_file(commands.root), "tiny_scratch_100percent_seed1_fold0"
    study_command_line(file, "--print-commands")
    commands.fails = "scratch"
    assert study_command_line(file, "--run", name) == 1
    assert f"{name} failed: nnUNetv2_train failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--job", "mem_gb=4"], "--job belongs to --executor"),
        (["--executor", "local", "--job", "mem_gb"], "KEY=VALUE"),
        (["--executor", "slurm", "--gpus", "0"], "gpus_per_node=1"),
    ],
)
def test_options_of_jobs(commands: Commands, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study_command_line(study_file(commands.root), *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["", "local"])
def test_a_real_study_of_few_steps(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, executor: str) -> None:
    """The real commands on phantoms: pre-training, fine-tuning, scratch, evaluation; a second start does nothing."""
    jobs = None
    if executor:
        pytest.importorskip("submitit")
        from nnssl_plugin.study.jobs import Jobs

        jobs = Jobs(executor, {})
    monkeypatch.setenv("nnUNet_compile", "f")
    write_phantom_cohort(nnunet_folders / "phantoms", range(6), True, (32, 32, 32), 5.0, 1)
    run_convert("brats", "-i", nnunet_folders / "phantoms", "-d", 501, "--name", "Phantom", "--copy")
    prepare = ["nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "3d_fullres", "-npfp", "1", "-np", "1"]
    subprocess.run([installed_script(prepare[0]), *prepare[1:]], check=True)
    steps = ["epochs=1", "iterations_per_epoch=1", "validation_iterations=1"]
    file = study_file(
        nnunet_folders,
        f"""
name: tiny
dataset: 501
configuration: 3d_fullres
evaluation: brats
plan_options: --batch-size 2 --patch-size 32 32 32 --features 4 8
set: [{", ".join(f"{part}.{step}" for part in ("pretraining", "finetuning") for step in steps)}]
pretraining_seeds: [5]
labels: [{{count: 2, draws: [1, 2], seeds: [1]}}]
controls: {{scratch: {{}}}}
recipes: {{restoration: {{}}}}
schedules: {{warmup: {{}}}}
""",
    )
    assert run_study(file, nnunet_folders / "tiny", [Device()], False, jobs) == 0
    with (nnunet_folders / "tiny" / "results.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["runs"] for row in rows} == {"2 of 2"}
    assert {row["recipe"] for row in rows} == {"scratch", "restoration, warmup"}
    assert {row["region"] for row in rows} == {"WT", "TC", "ET"}
    logs = {path.name: path.stat().st_size for path in (nnunet_folders / "tiny" / "logs").iterdir()}
    assert run_study(file, nnunet_folders / "tiny", [Device()], False, jobs) == 0
    assert logs == {path.name: path.stat().st_size for path in (nnunet_folders / "tiny" / "logs").iterdir()}


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        ("SSLScratchTrainer", 6),
        ("nnUNetTrainer", 250_000),
        ("nnUNetTrainer_5epochs", 1250),
        ("nnUNetTrainer_1epoch", 250),
    ],
)
def test_steps_of_a_run(trainer: str, steps: int) -> None:
    plans = make_plans({"finetuning": {"epochs": 2, "iterations_per_epoch": 3}})
    run = Run("n", trainer, "p", "s", (), (), 0, 0, "a", (), labels="l")
    assert steps_of(run, plans) == steps


def test_remaining_time_by_kind_and_slots() -> None:
    pretraining = Run("pre", "SSLPretrainTrainer", "p", "s", (), (), 0, 0, "a", ())
    runs = [
        pretraining,
        *(Run(f"r{i}", "SSLScratchTrainer", "p", "s", (), (), 0, 0, "a", (), labels="l") for i in range(3)),
    ]
    steps = {"pre": 1000, "r0": 100, "r1": 100, "r2": 200}
    finished = {"r0": Record({}, "finished", 50.0)}
    # Half a second a step for the two others; what is guessed of pre-training.
    assert remaining_seconds(runs, steps, finished, 2, lambda run: 0.1) == pytest.approx((100 + 150) / 2)
    assert remaining_seconds(runs, steps, finished, 1, lambda run: None) is None
    finished["pre"] = Record({}, "finished", 10.0)
    assert remaining_seconds(runs, steps, finished, 1, lambda run: None) == pytest.approx(150)
