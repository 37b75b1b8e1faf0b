import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnssl_plugin.commands import demo as demo_command
from nnssl_plugin.demo.chain import demo_steps
from nnssl_plugin.demo.cohort import write_phantoms, write_split
from nnssl_plugin.demo.demo import run_demo
from nnssl_plugin.demo.layout import COMPARED, DATASET, RAW, REPORT
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.steps import Step, StepError, run_steps
from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.command import installed_script, run_command
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.runs.output import Condenser, LiveLine, clock

TINY = DemoSize(
    training=2,
    test=2,
    unlabelled=3,
    shape=(32, 32, 32),
    spacing_mm=5.0,
    patch_size=(32, 32, 32),
    features=(4, 8),
    pretraining_epochs=2,
    pretraining_iterations=2,
    finetuning_epochs=2,
    finetuning_iterations=2,
    validation_iterations=1,
    save_every=1,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder


def python_step(name: str, code: str, **others) -> Step:
    return Step(name, f"The step {name}", ("python", "-c", code), **others)


def appends(name: str, extra: str = "") -> str:
    """Code that leaves a trace of each time it runs."""
    return f"open('runs', 'a').write('{name} '); {extra}"


def runs(folder: Path) -> list[str]:
    return (folder / "runs").read_text(encoding="utf-8").split()


def state(folder: Path, name: str) -> dict:
    return json.loads((folder / "steps" / f"{name}.json").read_text(encoding="utf-8"))


def test_steps_of_a_group_run_at_once(folder):
    # Each waits for what the other leaves: one after the other, the first would wait in vain.
    def waits(mine: str, other: str) -> str:
        return (
            f"import os, time; open('{mine}', 'w'); end = time.time() + 60\n"
            f"while not os.path.exists('{other}') and time.time() < end: time.sleep(0.05)\n"
            f"assert os.path.exists('{other}')"
        )

    steps = [
        python_step("one", waits("a", "b"), group="both"),
        python_step("two", waits("b", "a"), group="both"),
        python_step("three", appends("three")),
    ]
    run_steps(folder, steps, os.environ)
    assert runs(folder) == ["three"]
    assert state(folder, "one")["finished"]
    assert state(folder, "two")["finished"]


def test_a_failed_step_of_a_group_does_not_stop_the_other_one(folder):
    broken = "import os; exit(0 if os.path.exists('repaired') else 3)"
    steps = [
        python_step("one", broken, group="both"),
        python_step("two", appends("two"), group="both"),
        python_step("three", appends("three")),
    ]
    with pytest.raises(StepError, match=r"The step one failed \(exit code 3\)"):
        run_steps(folder, steps, os.environ)
    assert runs(folder) == ["two"]
    (folder / "repaired").touch()
    run_steps(folder, steps, os.environ)
    assert runs(folder) == ["two", "three"]


def test_finished_steps_are_not_run_again(folder):
    steps = [python_step("one", appends("one")), python_step("two", appends("two"))]
    run_steps(folder, steps, os.environ)
    run_steps(folder, steps, os.environ)
    assert runs(folder) == ["one", "two"]
    assert state(folder, "one")["finished"]
    assert state(folder, "one")["seconds"] > 0


def test_a_failing_step_shows_its_log_and_keeps_what_was_done(folder):
    code = appends("two", "print('the reason'); raise SystemExit(3)")
    steps = [python_step("one", appends("one")), python_step("two", code), python_step("three", appends("three"))]
    with pytest.raises(StepError, match="exit code 3") as failure:
        run_steps(folder, steps, os.environ)
    assert str(folder / "logs" / "two.log") in str(failure.value)
    assert str(failure.value).endswith("the reason")
    assert not state(folder, "two")["finished"]
    with pytest.raises(StepError):
        run_steps(folder, steps, os.environ)
    assert runs(folder) == ["one", "two", "two"]


def test_only_the_last_lines_of_a_long_log_are_shown(folder):
    with pytest.raises(StepError) as failure:
        run_steps(folder, [python_step("one", "[print('line', i) for i in range(100)]; exit(1)")], os.environ)
    assert re.findall(r"line (\d+)", str(failure.value)) == [str(i) for i in range(80, 100)]
    assert (folder / "logs" / "one.log").read_text(encoding="utf-8").count("line") == 100


def test_a_failing_function_is_a_failing_step(folder):
    def fail(_: Path) -> None:
        raise ValueError("no disk")

    with pytest.raises(StepError, match="no disk"):
        run_steps(folder, [Step("one", "One", fail, "recipe")], os.environ)
    assert "Traceback" in (folder / "logs" / "one.log").read_text(encoding="utf-8")


def test_another_recipe_runs_the_step_and_all_later_ones_again(folder):
    one, three = python_step("one", appends("one")), python_step("three", appends("three"))
    run_steps(folder, [one, python_step("two", appends("two")), three], os.environ)
    run_steps(folder, [one, python_step("two", appends("TWO")), three], os.environ)
    assert runs(folder) == ["one", "two", "three", "TWO", "three"]


def test_what_a_broken_off_step_left_is_removed(folder):
    made = "import os; os.makedirs('made'); open('made/half', 'w'); open('made.json', 'w')"
    broken = python_step("one", f"{made}; exit(1)", outputs=("made", "made.json"))
    (folder / "other").write_text("not of the step")
    with pytest.raises(StepError):
        run_steps(folder, [broken], os.environ)
    whole = python_step(
        "one", "import os; assert not os.path.exists('made.json'); os.makedirs('made')", outputs=("made", "made.json")
    )
    run_steps(folder, [whole], os.environ)
    assert list((folder / "made").iterdir()) == []
    assert (folder / "other").exists()


def test_an_interrupted_training_continues_from_its_checkpoint(folder):
    def training(code: str) -> Step:
        return python_step(
            "train",
            code,
            outputs=("model",),
            checkpoints=("model/latest", "model/final"),
            resumed=("python", "-c", appends("resumed", "assert open('model/latest').read() == 'state'")),
        )

    code = appends("fresh", "import os; os.makedirs('model'); open('model/latest', 'w').write('state'); exit(1)")
    with pytest.raises(StepError):
        run_steps(folder, [training(code)], os.environ)
    run_steps(folder, [training(code)], os.environ)
    assert runs(folder) == ["fresh", "resumed"]


@pytest.mark.parametrize("why", ["other recipe", "earlier step ran again"])
def test_a_checkpoint_of_another_run_is_not_continued(folder, why):
    def chain(earlier: str, epochs: int) -> list[Step]:
        code = appends(f"fresh{epochs}", "import os; os.makedirs('model'); open('model/latest', 'w'); ")
        train = python_step(
            "train",
            f"{code} exit({epochs})",
            outputs=("model",),
            checkpoints=("model/latest",),
            resumed=("python", "-c", appends("resumed")),
        )
        return [python_step("data", appends(earlier)), train]

    with pytest.raises(StepError):
        run_steps(folder, chain("data", 1), os.environ)
    with pytest.raises(StepError):
        run_steps(folder, chain("data", 2) if why == "other recipe" else chain("DATA", 1), os.environ)
    assert "resumed" not in runs(folder)


def test_commands_run_in_the_folder_with_the_environment(folder):
    code = "import os; print(os.getcwd(), os.environ['WHAT'])"
    run_steps(folder, [python_step("one", code)], {**os.environ, "WHAT": "ever"})
    assert (folder / "logs" / "one.log").read_text(encoding="utf-8") == f"{folder} ever\n"


def test_an_interrupt_ends_the_command_and_its_workers(folder):
    class Interrupted(LiveLine):
        def show(self, text: str | None) -> None:
            if text == "working":
                raise KeyboardInterrupt

    # The worker holds the pipe, as a loader's worker does that outlives the process that started it.
    code = (
        "import subprocess, sys, time; worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open('pid', 'w').write(str(worker.pid)); print('working', flush=True); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_command(("python", "-c", code), folder, os.environ, folder / "log", Interrupted(io.StringIO()))
    assert time.monotonic() - started < 30
    pid = int((folder / "pid").read_text(encoding="utf-8"))
    for _ in range(50):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    states = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, encoding="utf-8").stdout.split()
    return bool(states) and not states[0].startswith("Z")


def test_a_command_that_is_not_installed_is_named():
    with pytest.raises(InputError, match="no_such_command"):
        installed_script("no_such_command")


def test_commands_are_those_of_this_python():
    assert Path(installed_script("nnUNetv2_train")).parent == Path(sys.executable).parent


class TestFolder:
    def test_new_and_own_folders_are_taken(self, tmp_path):
        for _ in range(2):
            with locked_folder(tmp_path / "new" / "demo one", "demo"):
                pass
        (tmp_path / "empty").mkdir()
        with locked_folder(tmp_path / "empty", "demo"):
            pass

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="not a demo's"), locked_folder(tmp_path, "demo"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is a file"), locked_folder(tmp_path / "file", "demo"):
            pass

    def test_two_demos_do_not_work_in_one_folder(self, tmp_path):
        with (
            locked_folder(tmp_path, "demo"),
            pytest.raises(InputError, match="another demo"),
            locked_folder(tmp_path, "demo"),
        ):
            pass

    def test_a_process_left_running_keeps_the_folder_locked(self, tmp_path):
        with locked_folder(tmp_path, "demo") as lock:
            left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[lock])
        with pytest.raises(InputError, match="left running"), locked_folder(tmp_path, "demo"):
            pass
        left.kill()
        left.wait()
        with locked_folder(tmp_path, "demo"):
            pass


class TestOutput:
    def test_of_a_training_epochs_and_losses_are_shown(self):
        condenser = Condenser(epochs=20)
        stamp = "2026-01-02 03:04:05.678901: "
        assert condenser.telling("Using device: cpu\n") == "Using device: cpu"
        assert condenser.telling(f"{stamp}Epoch 3\n") == "epoch 4 of 20"
        assert condenser.telling(f"{stamp}Current learning rate: 0.01\n") is None
        assert condenser.telling(f"{stamp}train_loss -0.12\n") == "epoch 4 of 20: train_loss -0.12"
        assert condenser.telling(f"{stamp}Training done.\n") == "Training done."
        assert condenser.telling("predicting CASE\n") == "predicting CASE"
        assert condenser.telling("\n") is None

    def test_a_log_gets_few_lines(self):
        stream = io.StringIO()
        live = LiveLine(stream)
        for i in range(1000):
            live.show(f"line {i}")
        assert stream.getvalue() == ""
        live.written -= 60
        live.show("a line after a minute")
        assert stream.getvalue().endswith("a line after a minute\n")

    def test_a_terminal_line_is_rewritten_and_fits(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        stream = io.StringIO()
        stream.isatty = lambda: True
        live = LiveLine(stream)
        live.show("x" * 200)
        live.show(None)
        lines = stream.getvalue().split("\r\033[K")[1:]
        assert lines[0] == lines[1]
        assert len(lines[0]) == 39

    def test_clock(self):
        assert [clock(seconds) for seconds in (0, 59.9, 60, 3601)] == ["0:00", "0:59", "1:00", "60:01"]


class TestChain:
    def test_the_two_compared_runs_differ_in_their_names_only(self):
        plans = [step.action for step in demo_steps(DemoSize(), "cpu") if step.name.startswith("plan_")][1:]
        first, second = ([word for word in plan if word not in ("Finetune", "Scratch")] for plan in plans)
        assert first == second
        assert "finetuning.initial_lr=0.01" in first  # the default of scratch_initial_lr

    def test_names_are_unique(self):
        names = [step.name for step in demo_steps(DemoSize(), "cpu")]
        assert len(names) == len(set(names))

    def test_only_the_first_runs_of_trainings_load_weights(self):
        for step in demo_steps(DemoSize(), "cpu"):
            assert ("-pretrained_weights" in step.action if not callable(step.action) else False) == (
                step.name == "finetune"
            )
            assert "-pretrained_weights" not in step.resumed

    def test_cohorts_are_disjoint_and_training_cases_are_not_test_cases(self, tmp_path):
        size = DemoSize(training=1, test=2, unlabelled=2, shape=(24, 24, 24))
        write_phantoms(tmp_path, size)
        cohorts = [
            {path.name for path in (tmp_path / "phantoms" / name).iterdir()} for name in ("labelled", "unlabelled")
        ]
        assert [len(cohort) for cohort in cohorts] == [3, 2]
        assert not cohorts[0] & cohorts[1]
        assert not list((tmp_path / "phantoms" / "unlabelled").rglob("*-seg.nii.gz"))

        labels = tmp_path / RAW / DATASET / "labelsTr"
        labels.mkdir(parents=True)
        for case in cohorts[0]:
            (labels / f"{case}.nii.gz").touch()
        write_split(tmp_path, size)
        (split,) = json.loads((labels.parent / "splits_final.json").read_text(encoding="utf-8"))
        assert len(split["train"]) == 1
        assert {*split["train"], *split["val"]} == cohorts[0]
        assert not set(split["train"]) & set(split["val"])


def test_a_failing_demo_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nnssl_plugin.demo.demo.demo_steps", lambda *_: [python_step("one", "print('why'); exit(1)")])
    assert run_demo(tmp_path / "demo", TINY) == 1
    output = capsys.readouterr()
    assert str(tmp_path / "demo") in output.out
    assert "why" in output.err
    assert "Start it again" in output.err


def test_the_command_has_a_default_folder():
    import argparse

    parser = argparse.ArgumentParser()
    demo_command.add_arguments(parser)
    assert parser.parse_args([]).o == Path("nnssl_demo")


@pytest.mark.slow
def test_the_whole_demo_runs_and_resumes(tmp_path, capsys):
    folder = tmp_path / "the demo"
    assert run_demo(folder, TINY) == 0
    for run in COMPARED:
        cases = json.loads((folder / f"{run.evaluation}.json").read_text(encoding="utf-8"))["cases"]
        split = json.loads((folder / RAW / DATASET / "splits_final.json").read_text(encoding="utf-8"))[0]
        assert sorted(cases) == split["val"]
    page = (folder / REPORT).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 6
    assert not re.search(r'(src|href)="(http|//)', page)

    # As if killed while the last training was testing: it continues there, and nothing before it runs again.
    written = (folder / "steps" / "finetune.json").stat().st_mtime_ns
    (folder / "steps" / "scratch.json").write_text(json.dumps({**state(folder, "scratch"), "finished": False}))
    assert run_demo(folder, TINY) == 0
    output = capsys.readouterr().out
    assert "--c" in output
    assert (folder / "steps" / "finetune.json").stat().st_mtime_ns == written
    assert f"Dice, mean of {TINY.test} test cases" in output
