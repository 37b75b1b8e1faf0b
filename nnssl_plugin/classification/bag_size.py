from dataclasses import dataclass

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.nnunet.feature_map_values import feature_map_values
from nnssl_plugin.settings.settings import ClassificationSettings

# More of either was not seen to help, and would make the steps of large 2d batches slow to load.
MOST = 8


@dataclass(frozen=True)
class BagSize:
    """What a step of a classification sees: `cases`, and `tiles` of each; `cost`: against a supervised step of these plans."""

    cases: int
    tiles: int
    cost: float


def bag_size(settings: ClassificationSettings, configuration: ConfigurationManager, channels: int) -> BagSize:
    """Cases and tiles of a step; what the settings leave open is as many as cost no more than a supervised step.

    Two cases with a tile each at least, 8 with 8 at most. Only the encoder runs, so a step has room for more patches than
    the plans' batch size.
    """
    values = feature_map_values(configuration, channels)
    supervised = values(configuration.patch_size, True) * configuration.batch_size
    tile = values(configuration.patch_size, False)
    room = int(supervised / tile)
    cases = settings.cases_per_step or max(2, min(MOST, room))
    tiles = settings.tiles or max(1, min(MOST, room // cases))
    return BagSize(cases, tiles, cases * tiles * tile / supervised)
