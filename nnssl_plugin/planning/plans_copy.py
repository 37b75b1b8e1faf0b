"""A copy of a plans file under another name: the same preprocessed data, other settings, if asked another size."""

from copy import deepcopy
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.plans_file import configuration_of
from nnssl_plugin.planning.fused_network import has_contextual_fusion, with_contextual_fusion
from nnssl_plugin.planning.network_size import resized
from nnssl_plugin.settings.settings import PLANS_KEY, settings_from_plans, settings_with

RESIZABLE = {"batch_size", "patch_size", "architecture"}


def copy_plans(
    plans: dict[str, Any],
    name: str,
    assignments: list[str],
    *,
    configurations: list[str] | None = None,
    batch_size: int | None = None,
    patch_size: list[int] | None = None,
    features: tuple[int, int] | None = None,
    contextual_fusion: bool = False,
) -> dict[str, Any]:
    """`plans` under another name, with validated settings; every `data_identifier` stays, so the data is shared.

    Args:
        plans: content of a plans file.
        name: of the copy.
        assignments: like `pretraining.epochs=20`, over the settings that `plans` carry.
        configurations: which of them get the new sizes. By default all with as many axes as `patch_size`, but those
            that inherit their sizes: they follow the configuration they inherit from.
        batch_size: see `resized`.
        patch_size: see `resized`.
        features: see `resized`.
        contextual_fusion: put the contextual fusion block into the network of every configuration.

    Raises:
        InputError: an unknown configuration or setting, or an impossible size.
    """
    copy = deepcopy(plans)
    copy["plans_name"] = name
    copy[PLANS_KEY] = settings_with(settings_from_plans(plans), assignments).to_dict()
    if batch_size is None and patch_size is None and features is None:
        if configurations:
            raise InputError("-c limits --batch-size, --patch-size and --features, and none of them is given")
        return with_contextual_fusion(copy) if contextual_fusion else copy
    for configuration in configurations or _resizable(plans, patch_size):
        whole = configuration_of(plans, configuration)
        try:
            changed = resized(whole, batch_size=batch_size, patch_size=patch_size, features=features)
        except InputError as error:
            raise InputError(f"configuration {configuration}: {error}") from None
        copy["configurations"][configuration].update(changed)
    # A fused network must be told of its new bottleneck.
    return with_contextual_fusion(copy) if contextual_fusion or has_contextual_fusion(copy) else copy


def _resizable(plans: dict[str, Any], patch_size: list[int] | None) -> list[str]:
    own = [
        name
        for name, entries in plans["configurations"].items()
        if "inherits_from" not in entries or RESIZABLE & entries.keys()
    ]
    axes = {name: len(configuration_of(plans, name)["patch_size"]) for name in own}
    matching = [name for name in own if patch_size is None or axes[name] == len(patch_size)]
    if not matching:
        known = ", ".join(f"{name} has {count}" for name, count in axes.items())
        raise InputError(f"patch size {patch_size} has {len(patch_size or [])} axes; {known}")
    return matching
