"""`SSLSelfTrainTrainer` inside the real nnU-Net: which cases make a batch, what is refused, resuming, inference."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.mixed_cases import MixedCases
from tests.synthetic import NAME, make_plans, write_dataset
from tests.test_finetune_trainers import CPU, folder, started, trainer, weights_file  # noqa: F401
from tests.test_pseudo_labels import PSEUDO, UNLABELLED, pseudo_label, teacher, write_raw

TRAINER = "SSLSelfTrainTrainer"
TINY = {"epochs": 3, "iterations_per_epoch": 2, "validation_iterations": 1, "save_every": 1, "seed": 3}
TEACHER = {"dataset": NAME, "model": "A__B__3d_fullres", "fold": "0", "training_cases": ["case00", "case01"]}


def prepare(folder: Path, pseudo: dict[str, Any] | None = None, **finetuning: Any) -> None:  # noqa: F811
    """Labelled cases 0 to 5 (train 0 to 3), pseudo-labelled ones 10 to 14."""
    plans = make_plans({"finetuning": {**TINY, "pseudo_labels": 903, **finetuning}})
    write_dataset(folder, plans)
    mark = {"cases_of": UNLABELLED, "teachers": [TEACHER], "labels_sha256": "one"}
    cases = {f"case{number}": {"patient": f"p{number}"} for number in range(10, 15)}
    ours = {"unlabelled": False, "pseudo_labelled": mark, "cases": cases, **(pseudo or {})}
    write_dataset(folder, plans, cases=5, first=10, name=PSEUDO, nnssl_plugin=ours)


def change(folder: Path, **entries: Any) -> None:  # noqa: F811
    """Change entries of the pseudo-labelled data set's mark."""
    file = folder / "nnUNet_preprocessed" / PSEUDO / "dataset.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["nnssl_plugin"]["pseudo_labelled"].update(entries)
    file.write_text(json.dumps(content))


class Named:
    """A data set that knows the names of its cases only."""

    def __init__(self, *identifiers: str) -> None:
        self.identifiers = list(identifiers)

    def load_case(self, identifier: str) -> str:
        assert identifier in self.identifiers
        return identifier


@pytest.mark.parametrize(
    ("share", "size", "counts"), [(0.5, 2, {1}), (0.5, 4, {2}), (0.25, 4, {1}), (0.5, 3, {1, 2}), (0.0, 2, {0})]
)
def test_every_batch_has_its_share(share: float, size: int, counts: set[int]) -> None:
    np.random.seed(0)
    labelled, pseudo = ["a", "b", "both"], [f"p{number}" for number in range(5)] + ["both"]
    mixed = MixedCases(Named(*labelled), Named(*pseudo), share, size)  # type: ignore[arg-type]
    assert mixed.identifiers == [*labelled, *pseudo]
    mixed.labelled.load_case, mixed.pseudo_labelled.load_case = (lambda case: (case, 0)), (lambda case: (case, 1))
    batches = [[mixed.load_case(str(name)) for name in np.random.choice(mixed.identifiers, size)] for _ in range(3000)]
    assert {sum(kind for _, kind in batch) for batch in batches} == counts
    assert np.mean([kind for batch in batches for _, kind in batch]) == pytest.approx(share, abs=0.02)
    if 0 < share < 1:
        # nnU-Net makes sure of foreground in the last patches of a batch: no kind stands there always.
        last = np.mean([batch[-1][1] for batch in batches])
        assert last == pytest.approx(share, abs=0.05)
        for kind, names in enumerate((labelled, pseudo)):
            drawn = Counter(case for batch in batches for case, found in batch if found == kind)
            assert set(drawn) == set(names)
            assert max(drawn.values()) < 1.4 * min(drawn.values()), "every case as often"


@pytest.mark.parametrize("with_weights", [True, False])
def test_half_of_each_batch_is_pseudo_labelled(
    folder: Path,  # noqa: F811
    with_weights: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(folder)
    found = started(TRAINER, weights_file(folder)) if with_weights else trainer(TRAINER)
    read: list[str] = []
    load = nnUNetDatasetBlosc2.load_case

    def load_case(self: Any, identifier: str) -> Any:
        read.append(Path(self.source_folder).parent.name)
        return load(self, identifier)

    monkeypatch.setattr(nnUNetDatasetBlosc2, "load_case", load_case)
    step, batches = found.train_step, []
    fetch = found.on_train_epoch_start

    def start() -> None:
        fetch()
        read.clear()

    def train_step(batch: dict) -> dict:
        batches.append(list(read))
        read.clear()
        return step(batch)

    found.on_train_epoch_start, found.train_step = start, train_step
    found.run_training()
    assert [Counter(batch) for batch in batches] == [Counter({NAME: 1, PSEUDO: 1})] * 6
    file = Path(found.output_folder) / "checkpoint_final.pth"
    saved = torch.load(file, weights_only=True)
    assert saved["trainer_name"] == "nnUNetTrainer"
    made = saved["nnssl_plugin"]["provenance"]
    assert made["pseudo_labels"] == {"dataset": PSEUDO, "cases": 5, "share": 0.5, "labels_sha256": "one"}
    assert (made["initial_weights"] == "none") is not with_weights
    log = next(file.parent.glob("training_log_*.txt")).read_text(encoding="utf-8")
    assert "4 labelled cases and 5 pseudo-labelled ones of Dataset903_TinyPseudoLabels, 50% of each batch" in log
    start_weights = "the weights of -pretrained_weights" if with_weights else "scratch"
    assert f"Self-training starts from {start_weights}" in log
    predictor = nnUNetPredictor(device=CPU, perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(file.parents[1]), (0,))
    for key, value in predictor.network.named_parameters():
        assert torch.equal(value, saved["network_weights"][key])


def test_a_resumed_run_ends_as_the_uninterrupted_one(folder: Path) -> None:  # noqa: F811
    prepare(folder)
    whole = trainer(TRAINER)
    whole.run_training()
    file = Path(whole.output_folder) / "checkpoint_final.pth"
    expected = torch.load(file, weights_only=True)["network_weights"]
    file.unlink()
    first = trainer(TRAINER)
    end = first.on_epoch_end

    def on_epoch_end() -> None:
        end()
        if first.current_epoch == 2:
            raise KeyboardInterrupt

    first.on_epoch_end = on_epoch_end
    with pytest.raises(KeyboardInterrupt):
        first.run_training()
    resumed = trainer(TRAINER, resume=True)
    maybe_load_checkpoint(resumed, True, False)
    assert resumed.current_epoch == 2
    change(folder, labels_sha256="two")
    with pytest.raises(InputError, match="holds other labels than this run was started with"):
        resumed.run_training()
    change(folder, labels_sha256="one")
    resumed.run_training()
    ended = torch.load(file, weights_only=True)["network_weights"]
    assert all(torch.equal(value, ended[key]) for key, value in expected.items())
    # A finished run is not overwritten by one of other labels.
    change(folder, labels_sha256="two")
    with pytest.raises(InputError, match="holds a finished run that differs in pseudo_labels_sha256"):
        trainer(TRAINER).run_training()


def test_cases_of_patients_of_the_fold_are_left_out(folder: Path) -> None:  # noqa: F811
    cases = {f"case{number}": {"patient": f"p{number}"} for number in range(10, 15)}
    cases["case10"]["patient"], cases["case12"]["patient"] = "case01", "case05"
    prepare(folder, {"cases": cases}, epochs=1)
    found = trainer(TRAINER)
    found.run_training()
    assert found.pseudo_labelled.cases == ("case11", "case13", "case14")
    log = next(Path(found.output_folder).glob("training_log_*.txt")).read_text(encoding="utf-8")
    assert "2 cases of patients of this fold are left out" in log


def test_what_is_refused(folder: Path) -> None:  # noqa: F811
    prepare(folder, pseudo_labels=None)
    with pytest.raises(InputError, match="needs pseudo-labels"):
        trainer(TRAINER)

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            trainer(TRAINER).run_training()

    prepare(folder)
    base = folder / "nnUNet_preprocessed" / PSEUDO
    described = json.loads((base / "dataset.json").read_text(encoding="utf-8"))
    ours = described["nnssl_plugin"]

    def with_entries(**entries: Any) -> None:
        (base / "dataset.json").write_text(json.dumps({**described, **entries}))

    with_entries(labels={"background": 0, "lesion": 1})
    refused("Dataset903_TinyPseudoLabels has the labels")
    with_entries(channel_names={"0": "T1"})
    refused("Dataset903_TinyPseudoLabels has the channels")
    with_entries(nnssl_plugin={**ours, "pseudo_labelled": None})
    refused("which is not pseudo-labelled")
    of_the_fold = {case: {"patient": "case00"} for case in ours["cases"]}
    with_entries(nnssl_plugin={**ours, "cases": of_the_fold})
    refused("has no case that is not of a patient of this fold")
    with_entries()
    change(folder, teachers=[{**TEACHER, "training_cases": ["case00", "case04"]}])
    refused(r"was trained on 1 validation cases of this fold \(case04\)")
    with_entries()
    plans = (base / "Tiny.json").read_text(encoding="utf-8")
    (base / "Tiny.json").write_text(plans.replace('"spacing": [1.0, 1.0, 1.0]', '"spacing": [2.0, 1.0, 1.0]'))
    refused("was not preprocessed as it is now, under these plans")
    (base / "Tiny.json").write_text(plans)
    (base / "nnUNetPlans_3d" / "case12.b2nd").unlink()
    refused("was not preprocessed as it is now, under these plans")
    (base / "nnUNetPlans_3d").rename(base / "gone")
    refused(r"is not preprocessed in .*align --pretrain 903 --target 901")


def test_other_trainers_refuse_pseudo_labels(folder: Path) -> None:  # noqa: F811
    prepare(folder, pseudo_labels=None)
    base = folder / "nnUNet_preprocessed" / NAME
    content = json.loads((base / "dataset.json").read_text(encoding="utf-8"))
    content["nnssl_plugin"] = {"pseudo_labelled": {"teachers": []}}
    (base / "dataset.json").write_text(json.dumps(content))
    for name in ("SSLFinetuneTrainer", "SSLFinetuneSawtoothTrainer", "SSLScratchTrainer"):
        with pytest.raises(InputError, match="is pseudo-labelled: its labels are predictions of models"):
            trainer(name)


@pytest.mark.slow
def test_from_models_to_self_training_through_the_commands(folder: Path) -> None:  # noqa: F811
    """pseudo-label, align, then training on what they wrote."""
    prepare(folder, epochs=1)
    write_raw(folder, UNLABELLED, range(20, 23), nnssl_plugin={"unlabelled": True, "cases": {}})
    for path in (folder / "nnUNet_preprocessed").glob("Dataset903*"):
        path.rename(folder / "away")
    assert pseudo_label([teacher(folder, "Tiny1", seed=1), teacher(folder, "Tiny2", seed=2)]) == 0
    assert main(["align", "--pretrain", "903", "--target", "901", "-p", "Tiny", "-c", "3d_fullres", "-np", "1"]) == 0
    found = trainer(TRAINER)
    found.run_training()
    assert found.pseudo_labelled.cases == ("case20", "case21", "case22")
    assert (Path(found.output_folder) / "checkpoint_final.pth").is_file()
