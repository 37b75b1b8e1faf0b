from nnssl_plugin.objectives.contrastive import CrossModalContrast
from nnssl_plugin.objectives.distillation import DenseDistillation
from nnssl_plugin.objectives.local_contrastive import LocalContrast
from nnssl_plugin.objectives.objective import Objective
from nnssl_plugin.objectives.restoration import MosaicRestoration
from nnssl_plugin.objectives.slem import SLeM

OBJECTIVES: dict[str, type[Objective]] = {
    "slem": SLeM,
    "contrastive": CrossModalContrast,
    "local_contrastive": LocalContrast,
    "restoration": MosaicRestoration,
    "distillation": DenseDistillation,
}
