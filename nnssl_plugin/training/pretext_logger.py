import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from nnunetv2.training.logging.nnunet_logger import LocalLogger

# nnU-Net's own quantities that pre-training has as well.
SHARED = ("train_losses", "val_losses", "lrs", "epoch_start_timestamps", "epoch_end_timestamps")
CHANCE = "_chance"


class PretextLogger(LocalLogger):
    """nnU-Net's logger for quantities it does not know: pretext losses and metrics under their own names.

    A name appears with its first value, which must be that of the first epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.my_fantastic_logging: dict[str, list[Any]] = {key: [] for key in SHARED}

    def log(self, key: str, value: Any, epoch: int) -> None:
        """Log one value of an epoch."""
        self.my_fantastic_logging.setdefault(key, [])
        super().log(key, value, epoch)

    def plot_progress_png(self, output_folder: str) -> None:
        """Curves of every quantity; those with a chance level have it dotted beside them."""
        curves = {
            key: values
            for key, values in self.my_fantastic_logging.items()
            if "/" in key and key.startswith("val") and not key.endswith(CHANCE)
        }
        curves = {"loss": self.my_fantastic_logging["train_losses"], **curves, "lr": self.my_fantastic_logging["lrs"]}
        columns = 3
        rows = math.ceil(len(curves) / columns)
        figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for axis, (key, values) in zip(axes, curves.items(), strict=False):
            axis.plot(values, label="training" if key == "loss" else key.removeprefix("val/"))
            if key == "loss":
                axis.plot(self.my_fantastic_logging["val_losses"], label="without augmentation")
            elif key + CHANCE in self.my_fantastic_logging:
                axis.plot(self.my_fantastic_logging[key + CHANCE], ":", label="chance")
            axis.set_title(key.removeprefix("val/").replace("_", " "))
            axis.set_xlabel("epoch")
            axis.legend()
        for axis in list(figure.axes)[len(curves) :]:
            axis.axis("off")
        figure.savefig(Path(output_folder) / "progress.png", dpi=80)
