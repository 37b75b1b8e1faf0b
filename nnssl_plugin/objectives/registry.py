from nnssl_plugin.objectives.contrastive import CrossModalContrast
from nnssl_plugin.objectives.distillation import DenseDistillation
from nnssl_plugin.objectives.frame_contrast import FrameContrast
from nnssl_plugin.objectives.jigen import JiGen
from nnssl_plugin.objectives.local_contrastive import LocalContrast
from nnssl_plugin.objectives.mae import MAE
from nnssl_plugin.objectives.objective import Objective
from nnssl_plugin.objectives.puzzle import MultimodalPuzzle
from nnssl_plugin.objectives.region_contrast import RegionContrast
from nnssl_plugin.objectives.report_contrast import ReportContrast
from nnssl_plugin.objectives.restoration import MosaicRestoration
from nnssl_plugin.objectives.simclr import SimCLR
from nnssl_plugin.objectives.slem import SLeM
from nnssl_plugin.objectives.supervoxel import SupervoxelInpainting

OBJECTIVES: dict[str, type[Objective]] = {
    "slem": SLeM,
    "contrastive": CrossModalContrast,
    "local_contrastive": LocalContrast,
    "restoration": MosaicRestoration,
    "distillation": DenseDistillation,
    "jigen": JiGen,
    "puzzle": MultimodalPuzzle,
    "supervoxel": SupervoxelInpainting,
    "simclr": SimCLR,
    "mae": MAE,
    "frame_contrast": FrameContrast,
    "report_contrast": ReportContrast,
    "region_contrast": RegionContrast,
}
