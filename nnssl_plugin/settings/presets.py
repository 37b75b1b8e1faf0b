"""Recipes of pre-training by name: which objectives run, with which weights."""

from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.settings.settings import Settings

# Weight of each objective; those a preset does not name are off. `full` is the default recipe.
PRESETS: dict[str, dict[str, float]] = {
    "slem": {"slem": 1.0},
    "contrast": {"contrastive": 1.0},
    "restoration": {"restoration": 1.0},
    "jigen": {"jigen": 1.0},
    "puzzle": {"puzzle": 1.0},
    "supervoxel": {"supervoxel": 1.0},
    "simclr": {"simclr": 1.0},
    "mae": {"mae": 1.0},
    "full": {name: getattr(Settings().pretraining.objectives, name).weight for name in OBJECTIVES},
}


def preset_assignments(name: str) -> list[str]:
    """The settings of a preset, as `nnssl_plugin plan --set` takes them."""
    weights = PRESETS[name]
    return [f"pretraining.objectives.{objective}.weight={weights.get(objective, 0.0)}" for objective in OBJECTIVES]
