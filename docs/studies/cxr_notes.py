"""Images and their notes, stage one and two, beside controls: python cxr_notes.py DATASET PLANS TABLE OUT SEED [SEED …].

DATASET: of `convert reports`, planned and preprocessed; the small copies of small_pictures.py, so that a patch shows a whole image. PLANS: of
`nnssl_plugin plan --preset reports --classify` with the findings. TABLE: of cxr_findings.py. OUT: folder of the results, one JSON file a run;
runs that are there are not made again. With each seed, for each fold of the classification, whose groups are judged nowhere else, are trained on
the fold's training cases: stage one; the same with the notes of other patients (shuffled); stage two from stage one, with learned and with random
regions; a classifier of the findings, from fresh weights and from stage one. Judged on its validation cases: retrieval, and findings by prompts or
by the classifier. Needs nnU-Net's variables, and nnUNet_extTrainer for the plugin's trainers.
"""

import csv
import json
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.run.run_training import get_trainer_from_args
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnssl_plugin.classification.folds import folds_file
from nnssl_plugin.cli import main as command
from nnssl_plugin.export.target_network import find_target_network
from nnssl_plugin.files import write_json
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.nnunet.environment import dataset_name, folder_of
from nnssl_plugin.nnunet.raw_cases import preprocessed_cases
from nnssl_plugin.text.report_file import identity_of
from nnssl_plugin.zero_shot.findings import Finding
from nnssl_plugin.zero_shot.image_report_model import load_image_report_model
from nnssl_plugin.zero_shot.zero_shot import ZeroShot

CPU = torch.device("cpu")
FINDINGS = [
    Finding("opacity", ("opacities in the lungs", "bilateral opacity"), ("clear lungs", "no opacity")),
    Finding("consolidation", ("consolidation in the lung", "lobar consolidation"), ("clear lungs", "no consolidation")),
    Finding("ground_glass", ("ground-glass opacities",), ("clear lungs", "no ground-glass opacities")),
    Finding("line_or_tube", ("endotracheal tube and central line in place",), ("no lines or tubes",)),
]
COVID = "COVID-19"
SAMPLES = 2000
STAGE_TWO = ("learned", "random")
CLASSIFIERS = ("classified", "classified from stage one")
RATE_OF_STAGE_ONE = 0.001
EPOCHS, STEPS_OF_EPOCH = 6, 50


def plans_of(dataset: str, source: str, name: str, seed: int, settings: list[str]) -> str:
    """A copy of the plans for one run."""
    plans = f"{source}_{name.replace(' ', '-')}_{seed}"
    for part in ("pretraining", "classification"):
        own = {"seed": seed, "epochs": EPOCHS, "iterations_per_epoch": STEPS_OF_EPOCH, "save_every": 1000}
        settings = [*settings, *(f"{part}.{setting}={value}" for setting, value in own.items())]
    arguments = ["plan", "-d", dataset, "-p", source, "-o", plans, "--overwrite", "--set", *settings]
    assert command([*arguments, "pretraining.validation_iterations=1"]) == 0
    return plans


def trained(
    dataset: str, source: str, fold: int, seed: int, recipe: str, first: Path | None
) -> tuple[Path, dict[str, Any], str]:
    """Checkpoint, curves and plans of a run, which is made unless it is there.

    Args:
        dataset: its name.
        source: plans to copy.
        fold: of the classification.
        seed: of the run.
        recipe: `one`, `shuffled`, `learned` or `random`.
        first: checkpoint of stage one, for the last two.
    """
    settings = []
    if recipe in STAGE_TWO:
        own = {"weight": 1.0, "selection": recipe, "stage_one": str(first)}
        settings += ["report_contrast.weight=0", *(f"region_contrast.{name}={value}" for name, value in own.items())]
        settings = [
            f"pretraining.initial_lr={0.1 * RATE_OF_STAGE_ONE}",
            *(f"pretraining.objectives.{s}" for s in settings),
        ]
        # The source of the weights is part of the plans, and differs by fold.
        recipe = f"{recipe}_{fold}"
    plans = plans_of(dataset, source, recipe, seed, settings)
    trainer: Any = get_trainer_from_args(dataset, "2d", fold, "SSLPretrainTrainer", plans, device=CPU)
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    if not final.is_file():
        trainer.initialize()
        if first is not None:
            load_pretrained_weights(trainer.network, str(first))
        if recipe == "shuffled":
            trainer.cohort = of_others(trainer.cohort, seed)
        trainer.run_training()
    return final, torch.load(final, weights_only=True)["logging"], plans


def classified(dataset: str, source: str, fold: int, seed: int, name: str, first: Path | None) -> dict[str, Any]:
    """The findings by a classifier of the same encoder, trained on the fold's labels."""
    plans = plans_of(dataset, source, name, seed, [])
    trainer: Any = get_trainer_from_args(dataset, "2d", fold, "SSLClassifyTrainer", plans, device=CPU)
    summary = Path(trainer.output_folder) / "validation" / "summary.json"
    if not summary.is_file():
        trainer.initialize()
        if first is not None:
            load_pretrained_weights(trainer.network, str(first))
        trainer.run_training()
        trainer.perform_actual_validation()
    read = json.loads(summary.read_text())
    found = {}
    for one in FINDINGS:
        column = f"text_{one.name}"
        index = read["classes"][column].index("1")
        found[one.name] = {case: said[column]["probabilities"][index] for case, said in read["cases"].items()}
    return {"by case": found}


def of_others(cohort: list[Any], seed: int) -> list[Any]:
    """The cohort with the reports of another patient each, dealt in turn to the patient's cases."""
    of_patient: dict[str, list[Any]] = {}
    for record in cohort:
        of_patient.setdefault(record.patient, []).append(record)
    patients = sorted(of_patient)
    order = np.random.default_rng(seed).permutation(len(patients))
    # A cycle leaves nobody with a report of their own.
    giver = {patients[order[i]]: patients[order[i - 1]] for i in range(len(order))}
    return [
        replace(record, files=given.files)
        for patient, own in of_patient.items()
        for record, given in zip(own, cycle(of_patient[giver[patient]]), strict=False)
    ]


def judged(
    file: Path, plans: str, dataset: str, cases: list[Any], rows: list[dict[str, str]], texts: list[str]
) -> dict:
    """Retrieval of the reports of images, and the probabilities of the findings; by case what an interval is for."""
    model = load_image_report_model(file, find_target_network(dataset, plans, "2d"), CPU)
    images = [model.image(case.image) for case in cases]
    reports = model.texts(texts)
    similarity = np.stack([model.logits(image, reports).numpy() for image in images])
    same = shared(rows, texts)
    zero_shot = ZeroShot(model, FINDINGS)
    scores = [zero_shot.probabilities(image) for image in images]
    own = [float((row[i] > row[~same[i]]).mean()) for i, row in enumerate(similarity)]
    return {
        "top 1": float(same[np.arange(len(same)), similarity.argmax(axis=1)].mean()),
        "top 1, chance": float(same.mean()),
        "by case": {
            "own before others": by_case(rows, own),
            **{one.name: by_case(rows, [case[one.name][1] for case in scores]) for one in FINDINGS},
        },
    }


def by_case(rows: list[dict[str, str]], values: Any) -> dict[str, float]:
    """Case → value."""
    return {row["case"]: float(value) for row, value in zip(rows, values, strict=True)}


def shared(rows: list[dict[str, str]], texts: list[str]) -> np.ndarray:
    """`[N, N]`, whose notes are no other's: of the same group, or word for word the same."""
    group, said = np.array([row["group"] for row in rows]), np.array([identity_of(text) for text in texts])
    both: np.ndarray = (group[:, None] == group[None]) | (said[:, None] == said[None])
    return both


def labels(rows: list[dict[str, str]], finding: str) -> np.ndarray:
    """1 where the note mentions a finding."""
    return np.array([row[f"text_{finding}"] == "1" for row in rows])


def text_only(train: tuple[list, list], test: tuple[list, list]) -> dict[str, Any]:
    """What the words alone tell: findings by the prompts' words, and the published diagnosis by regression on all words."""
    (train_rows, train_texts), (rows, texts) = train, test
    words = TfidfVectorizer(sublinear_tf=True).fit(train_texts)
    notes = words.transform(texts)
    covid = np.array([row["finding"] == "COVID-19" for row in train_rows])
    regression = LogisticRegression(C=10, max_iter=1000).fit(words.transform(train_texts), covid)
    prompts = {one.name: (notes @ words.transform(one.positive).T).mean(axis=1).A1 for one in FINDINGS}
    scores = {**prompts, COVID: regression.decision_function(notes)}
    return {"by case": {name: by_case(rows, values) for name, values in scores.items()}}


def probed(
    file: Path | None, seed: int, plans: str, dataset: str, train: tuple[list, list], test: tuple[list, list]
) -> dict:
    """Logistic regressions on frozen features, mean and deviation of the two deepest stages, trained on labels."""
    network: Any = find_target_network(dataset, plans, "2d").fresh_network(seed)
    if file is not None:
        network.load_state_dict(torch.load(file, weights_only=True)["network_weights"])
    network.eval()
    features = [np.stack([pooled(network, case.image) for case in cases]) for cases in (train[0], test[0])]
    found = {}
    for one in FINDINGS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
        model.fit(features[0], labels(train[1], one.name))
        found[one.name] = by_case(test[1], model.decision_function(features[1]))
    return {"by case": found}


@torch.no_grad()
def pooled(network: Any, image: np.ndarray) -> np.ndarray:
    """Features of a whole image `[1, 1, Y, X]`, padded to the network's strides."""
    flat = torch.from_numpy(image[:, 0])[None].float()
    flat = torch.nn.functional.pad(flat, [0, -flat.shape[3] % 32, 0, -flat.shape[2] % 32])
    maps = [one.flatten(2)[0] for one in encoder_features(network, flat)[-2:]]
    return torch.cat([part for one in maps for part in (one.mean(dim=1), one.std(dim=1))]).numpy()


def use_folds_of_classification(dataset: str, source: str) -> int:
    """Make them nnU-Net's too, so that all trainers train on the same cases; returns their number."""
    trainer: Any = get_trainer_from_args(dataset, "2d", 0, "SSLClassifyTrainer", source, device=CPU)
    columns = trainer.cases.classes.columns
    folder = folder_of("nnUNet_preprocessed") / dataset
    folds = json.loads(folds_file(folder, tuple(columns)).read_text())
    write_json(folds, folder / "splits_final.json")
    return len(folds)


def results_of(
    dataset: str, source: str, described: dict[str, dict[str, str]], out: Path, fold: int, seed: int
) -> None:
    """Train and judge what is not there."""
    raw = folder_of("nnUNet_raw") / dataset
    target = find_target_network(dataset, source, "2d")
    cases = {
        one.name: one
        for one in preprocessed_cases(raw / "imagesTr", target.plans, "2d", target.dataset_json, "Reading")
    }
    texts = {case: (raw / "reportsTr" / f"{case}.txt").read_text(encoding="utf-8") for case in cases}
    plain: Any = get_trainer_from_args(dataset, "2d", fold, "SSLPretrainTrainer", source, device=CPU)
    # Cases of patients that are judged are not trained on, by anything.
    split = [sorted(record.case for record in plain.cohort), sorted(plain.do_split()[1])]
    told: list[dict[str, Any]] = [cases, described, texts]
    images, rows, notes = ([[what[case] for case in part] for part in split] for what in told)
    first: Path | None = None
    for recipe in ("one", *STAGE_TWO, "shuffled"):
        file, logging, plans = trained(dataset, source, fold, seed, recipe, first if recipe in STAGE_TWO else None)
        first = file if recipe == "one" else first
        curves = {key: values[-1] for key, values in logging.items() if key.startswith("train") and len(values)}
        result = {**judged(file, plans, dataset, images[1], rows[1], notes[1]), "training": curves}
        write_json(result, out / f"{recipe}_{fold}_{seed}.json")
        if recipe == "one":
            for name, probe in (("probe", file), ("untrained", None)):
                parts = [(images[i], rows[i]) for i in (0, 1)]
                write_json(probed(probe, seed, plans, dataset, *parts), out / f"{name}_{fold}_{seed}.json")
            write_json(text_only((rows[0], notes[0]), (rows[1], notes[1])), out / f"text_{fold}_{seed}.json")
    for name, weights in zip(CLASSIFIERS, (None, first), strict=True):
        write_json(classified(dataset, source, fold, seed, name, weights), out / f"{name}_{fold}_{seed}.json")


RUNS = ("one", *STAGE_TWO, "shuffled", "probe", "untrained", *CLASSIFIERS, "text")
NUMBERS = ("training loss", "training retrieval", "top 1", "top 1, chance")
BY_CASE = ("own before others", *(one.name for one in FINDINGS), COVID)


def tables_of(out: Path, described: dict[str, dict[str, str]]) -> str:
    """The results as Markdown.

    Numbers are means over folds, and of these the mean and standard deviation over seeds; what is known by case is the mean
    over folds and seeds, with a 95 % interval by a bootstrap over the groups of each fold.
    """
    numbers = ["| run | runs | " + " | ".join(NUMBERS) + " |", "|---" * (len(NUMBERS) + 2) + "|"]
    cases = ["| run | " + " | ".join(BY_CASE) + " |", "|---" * (len(BY_CASE) + 1) + "|"]
    for name in RUNS:
        results = {
            tuple(map(int, file.stem.split("_")[-2:])): json.loads(file.read_text())
            for file in sorted(out.glob(f"{name}_*.json"))
        }
        if not results:
            continue
        cells = [_over_seeds({key: _number(one, number) for key, one in results.items()}) for number in NUMBERS]
        numbers.append(f"| {name} | {len(results)} | " + " | ".join(cells) + " |")
        cells = [
            _with_interval({key: one["by case"].get(what) for key, one in results.items()}, what, described)
            for what in BY_CASE
        ]
        cases.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*numbers, "", *cases])


def _number(result: dict[str, Any], name: str) -> float | None:
    curves = result.get("training", {})
    if name == "training loss":
        return curves.get("train_losses")
    if name == "training retrieval":
        return next((value for key, value in curves.items() if key.endswith("_contrast/retrieval")), None)
    return result.get(name)


def _over_seeds(values: dict[Any, float | None]) -> str:
    if None in values.values():
        return ""
    seeds = sorted({seed for _, seed in values})
    means = [np.mean([value for (_, own), value in values.items() if own == seed]) for seed in seeds]
    return f"{np.mean(means):.3f} ± {np.std(means, ddof=1) if len(means) > 1 else 0:.3f}"


def _with_interval(values: dict[Any, Any], what: str, described: dict[str, dict[str, str]]) -> str:
    if None in values.values():
        return ""
    sampled = []
    for (fold, _), one in values.items():
        names = sorted(one)
        groups = sorted({described[case]["group"] for case in names})
        # The same sample of a fold's groups for all runs; the first is the fold itself.
        drawn = np.random.default_rng(fold).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), SAMPLES)
        weights = np.vstack([np.ones(len(groups)), drawn])[
            :, [groups.index(described[case]["group"]) for case in names]
        ]
        sampled.append(_measure(np.array([one[case] for case in names]), weights, what, [described[c] for c in names]))
    mean = np.mean(sampled, axis=0)
    low, high = np.nanpercentile(mean[1:], [2.5, 97.5])
    return f"{mean[0]:.3f} ({low:.2f} to {high:.2f})"


def _measure(values: np.ndarray, weights: np.ndarray, what: str, rows: list[dict[str, str]]) -> np.ndarray:
    """Mean, or AUC, of each sample of the cases; `weights` `[samples, cases]`."""
    if what == "own before others":
        return np.asarray(weights @ values / weights.sum(axis=1))
    truth = np.array([row["finding"] == COVID for row in rows]) if what == COVID else labels(rows, what)
    yes, no = values[truth][:, None], values[~truth][None]
    before = (yes > no) + 0.5 * (yes == no)
    own, others = weights[:, truth], weights[:, ~truth]
    return np.asarray(((own @ before) * others).sum(axis=1) / (own.sum(axis=1) * others.sum(axis=1)))


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    name, plans = dataset_name(sys.argv[1]), sys.argv[2]
    folder = Path(sys.argv[4])
    folder.mkdir(parents=True, exist_ok=True)
    folds = use_folds_of_classification(name, plans)
    with Path(sys.argv[3]).open(newline="", encoding="utf-8") as stream:
        table = {row["case"]: row for row in csv.DictReader(stream)}
    for number in sys.argv[5:]:
        for fold in range(folds):
            results_of(name, plans, table, folder, fold, int(number))
        print(tables_of(folder, table), flush=True)
