"""README.md of a Hugging Face model repository, from what a checkpoint records of its making."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from nnssl_plugin.checkpoints.recorded import (
    PAPERS,
    recorded_channels,
    recorded_citations,
    recorded_provenance,
    recorded_section,
)
from nnssl_plugin.errors import InputError

TAGS = ["nnU-Net", "medical-imaging", "self-supervised-learning", "multi-modal"]
TASK = "image-segmentation"
SCORES = ("Dice", "HD95")


def model_card(
    checkpoint: Mapping[str, Any], name: str, license_id: str, scores: Mapping[str, Any] | None, files: Sequence[str]
) -> ModelCard:
    """The card; its front matter is read back by huggingface_hub.

    Args:
        checkpoint: of `SSLPretrainTrainer`, `export` or nnU-Net.
        name: of the model, its title.
        license_id: as Hugging Face names licences, like `cc-by-4.0`.
        scores: what `nnssl_plugin evaluate` wrote for a network trained from the weights, or none.
        files: names of the files beside the card, each with what it is.

    Raises:
        InputError: `license_id` is no identifier of a licence, or `scores` are no scores of a segmentation.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license_id):
        raise InputError(
            f"--license {license_id!r} is not how Hugging Face names a licence: an identifier in small letters like "
            "cc-by-4.0 is expected (https://huggingface.co/docs/hub/repositories-licenses lists them)"
        )
    papers = list(
        dict.fromkeys(text for entry in recorded_citations(checkpoint) for key in PAPERS for text in entry.get(key, ()))
    )
    data = ModelCardData(
        license=license_id,
        library_name="nnssl_plugin",
        tags=TAGS,
        pipeline_tag=TASK,
        model_name=name,
        eval_results=_eval_results(scores) if scores else None,
        **_front_matter(checkpoint, papers),
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        "Weights for [nnU-Net](https://github.com/MIC-DKFZ/nnUNet), made with nnssl_plugin. No case, patient or path is in these files.",
        "## What it is made of\n\n" + _table(_facts(checkpoint)),
        "## Files\n\n" + "\n".join(f"- {text}" for text in files),
        "## Use\n\n```\nnnssl_plugin export FOLDER --to-dataset DATASET -c CONFIGURATION -o weights.pth      # or hf:ORGANISATION/NAME\n"
        "nnUNetv2_train DATASET CONFIGURATION FOLD -pretrained_weights weights.pth\n```\n\n"
        "Channels are matched by name; for other names and numbers of channels see `nnssl_plugin export --help`.",
    ]
    if scores:
        parts.append("## Scores\n\n" + _score_table(scores))
    if papers:
        parts.append("## Please cite\n\n" + "\n".join(f"- {paper}" for paper in papers))
    card = ModelCard("\n\n".join(parts) + "\n")
    if card.data.to_dict() != data.to_dict():
        raise RuntimeError("huggingface_hub reads another front matter from the card than was written")
    return card


def _front_matter(checkpoint: Mapping[str, Any], papers: list[str]) -> dict[str, Any]:
    record = recorded_provenance(checkpoint)
    objectives = recorded_section(record, "objectives")
    budget = {key: record[key] for key in ("epochs", "iterations_per_epoch") if record.get(key)}
    entries = {
        "datasets": [str(name) for name in (record.get("dataset"), *(record.get("further_datasets") or ())) if name],
        "modalities": recorded_channels(checkpoint),
        "objectives": list(objectives),
        "budget": budget,
        "citations": papers,
    }
    return {key: value for key, value in entries.items() if value}


def _facts(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    record = recorded_provenance(checkpoint)
    objectives = record.get("objectives")
    named = (
        ", ".join(f"{name} (weight {weight:g})" for name, weight in objectives.items())
        if isinstance(objectives, Mapping)
        else ""
    )
    steps = (record.get("epochs"), record.get("iterations_per_epoch"))
    versions = record.get("versions")
    return {
        "made by": record.get("made_by", checkpoint.get("trainer_name", "")),
        "data set": record.get("dataset", ""),
        "further data sets": ", ".join(map(str, record.get("further_datasets") or ())),
        "channels": ", ".join(recorded_channels(checkpoint)),
        "configuration": record.get("configuration", ""),
        "objectives": named,
        "budget": f"{steps[0]} epochs of {steps[1]} steps" if all(steps) else "",
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items())
        if isinstance(versions, Mapping)
        else "",
        "SHA-256 of the encoder": record.get("encoder_sha256", ""),
    }


def _table(facts: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {value} |" for key, value in facts.items() if value]
    return "\n".join(["| | |", "|---|---|", *rows])


def _eval_results(scores: Mapping[str, Any]) -> list[EvalResult]:
    metrics, mean = _means(scores)
    evaluation = str(scores.get("evaluation", "segmentation"))
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=evaluation,
            dataset_name=f"{scores['scored']} cases, conventions of {evaluation}",
            metric_type=metric.lower(),
            metric_name=f"{metric} {region}",
            metric_value=values[metric],
        )
        for region, values in mean.items()
        for metric in metrics
        if values[metric] is not None
    ]


def _score_table(scores: Mapping[str, Any]) -> str:
    metrics, mean = _means(scores)
    rows = [
        f"| {region} | " + " | ".join("" if values[m] is None else f"{values[m]:.4g}" for m in metrics) + " |"
        for region, values in mean.items()
    ]
    head = [f"Means over {scores['scored']} cases.", "", "| | " + " | ".join(metrics) + " |"]
    return "\n".join([*head, "|---" * (len(metrics) + 1) + "|", *rows])


def _means(scores: Mapping[str, Any]) -> tuple[list[str], dict[str, dict[str, float | None]]]:
    """Names of the metrics that are shown, and region → metric → mean.

    Raises:
        InputError: these are no scores of a segmentation.
    """
    try:
        mean = scores["mean"]
        metrics = [metric for metric in next(iter(mean.values())) if metric in SCORES]
        means = {
            region: {m: None if values[m] is None else float(values[m]) for m in metrics}
            for region, values in mean.items()
        }
        int(scores["scored"])
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError):
        raise InputError("--scores: a file that nnssl_plugin evaluate wrote for a segmentation is expected") from None
    return metrics, means
