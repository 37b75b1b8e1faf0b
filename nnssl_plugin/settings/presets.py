"""Recipes of pre-training by name: which objectives run, with which weights."""

from nnssl_plugin.objectives.registry import OBJECTIVES

# Weight of each objective; those a preset does not name are off. `restoration` is the default recipe.
PRESETS: dict[str, dict[str, float]] = {
    "slem": {"slem": 1.0},
    "contrast": {"contrastive": 1.0},
    "restoration": {"restoration": 1.0},
    "jigen": {"jigen": 1.0},
    "puzzle": {"puzzle": 1.0},
    "supervoxel": {"supervoxel": 1.0},
    "simclr": {"simclr": 1.0},
    "mae": {"mae": 1.0},
    "frame-contrast": {"frame_contrast": 1.0},
    "meta-uscl": {"frame_contrast": 1.0},
    "reports": {"report_contrast": 1.0},
    "regions": {"region_contrast": 1.0},
    "distillation": {"distillation": 1.0},
    "full": {"slem": 1.0, "contrastive": 0.1, "restoration": 1.0},
}
# What a preset sets beside the weights: a report that says "left" is wrong of a mirrored image, and stage two starts from
# weights that are worth keeping.
FURTHER: dict[str, list[str]] = {
    "reports": ["pretraining.mirroring=false"],
    "regions": ["pretraining.mirroring=false", "pretraining.initial_lr=0.0001"],
}
# Those whose pairs have learned weights.
META = ("meta-uscl",)


def preset_assignments(name: str) -> list[str]:
    """The settings of a preset, as `nnssl_plugin plan --set` takes them."""
    weights = PRESETS[name]
    assignments = [
        f"pretraining.objectives.{objective}.weight={weights.get(objective, 0.0)}" for objective in OBJECTIVES
    ]
    weighted = [objective for objective, cls in OBJECTIVES.items() if hasattr(cls.Settings, "weighting")]
    for objective in weighted:
        meta = name in META and objective in weights
        assignments.append(f"pretraining.objectives.{objective}.weighting={'meta' if meta else 'mean'}")
    return assignments + FURTHER.get(name, [])
