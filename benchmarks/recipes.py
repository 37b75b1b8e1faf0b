"""The recipes of pre-training that are measured, each as a plans copy; and trainers of them."""

from typing import Any

import torch

from benchmarks.problem import CONFIGURATION, DATASET, Problem, plans_of, write_plans

DEFAULT = "restoration (default)"
SLEM_CONTRAST = "SLeM + contrast"
EVERYTHING = "everything"
# Reports belong to cases that have some.
LEFT_OUT = ("report_contrast",)


def recipes() -> dict[str, list[str]]:
    """Name → settings: every objective by itself, the presets that join some, and all together."""
    from nnssl_plugin.objectives.registry import OBJECTIVES

    own = [name for name in OBJECTIVES if name not in LEFT_OUT]
    alone = {name: {name: 1.0} for name in own if name != "restoration"}
    joined = {
        DEFAULT: {"restoration": 1.0},
        SLEM_CONTRAST: {"slem": 1.0, "contrastive": 0.1},
        "full": {"slem": 1.0, "contrastive": 0.1, "restoration": 1.0},
        "restoration + distillation": {"restoration": 1.0, "distillation": 1.0},
        EVERYTHING: dict.fromkeys(own, 1.0),
    }
    return {name: _settings(weights) for name, weights in {**joined, **alone}.items()}


def _settings(weights: dict[str, float]) -> list[str]:
    from nnssl_plugin.objectives.registry import OBJECTIVES

    return [
        # A volume's frames are its modalities.
        "pretraining.objectives.frame_contrast.frames=modalities",
        "pretraining.objectives.region_contrast.against=modality",
        *(f"pretraining.objectives.{name}.weight={weights.get(name, 0.0)}" for name in OBJECTIVES),
    ]


def looks_at_no_decoder(name: str) -> bool:
    """Whether no objective of a recipe decodes anything."""
    from nnssl_plugin.pretraining.active_objectives import active_objectives, needs_of
    from nnssl_plugin.settings.settings import Settings, settings_with

    active = active_objectives(settings_with(Settings(), recipes()[name]).pretraining)
    return not any(need.decoder_stages for need in needs_of(active).values())


def plans_name(recipe: str, residual: bool) -> str:
    """Of its plans copy."""
    kind = "residual" if residual else "plain"
    return f"{kind}_{''.join(letter if letter.isalnum() else '_' for letter in recipe)}"


def make_trainer(problem: Problem, recipe: str, residual: bool) -> Any:
    """A trainer of the recipe; nnU-Net's own for the empty one."""
    write_recipe(problem, recipe, residual)
    return open_trainer(problem, recipe, residual)


def write_recipe(problem: Problem, recipe: str, residual: bool) -> None:
    """Its plans copy."""
    from nnssl_plugin.settings.settings import Settings, settings_with

    settings = settings_with(Settings(), recipes()[recipe] if recipe else [])
    write_plans(problem, plans_of(problem, plans_name(recipe, residual), residual, settings.to_dict()))


def open_trainer(problem: Problem, recipe: str, residual: bool) -> Any:
    """A trainer of plans that are written."""
    from nnunetv2.run.run_training import get_trainer_from_args

    device = torch.device(problem.device)
    trainer = "SSLPretrainTrainer" if recipe else "nnUNetTrainer"
    made = get_trainer_from_args(DATASET, CONFIGURATION, 0, trainer, plans_name(recipe, residual), device=device)
    made.initialize()
    return made
