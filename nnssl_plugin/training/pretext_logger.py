import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnssl_plugin.files import whole_file
from nnssl_plugin.plots.chance import CHANCE_SUFFIX

# nnU-Net's own quantities that pre-training has as well.
SHARED = ("train_losses", "val_losses", "lrs", "epoch_start_timestamps", "epoch_end_timestamps")


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
        """Curves of every loss part and metric, without augmentation and in training; chance is the dotted line."""
        log = self.my_fantastic_logging
        figures = {"loss": {"without augmentation": log["val_losses"], "training": log["train_losses"]}}
        for name in [
            key.removeprefix("val/") for key in log if key.startswith("val/") and not key.endswith(CHANCE_SUFFIX)
        ]:
            lines = {
                "without augmentation": f"val/{name}",
                "training": f"train/{name}",
                "chance": f"val/{name}{CHANCE_SUFFIX}",
            }
            figures[name] = {label: log[key] for label, key in lines.items() if key in log}
        figures["lr"] = {"lr": log["lrs"]}
        columns = 3
        rows = math.ceil(len(figures) / columns)
        figure = Figure(figsize=(5 * columns, 3.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for axis, (name, curves) in zip(axes, figures.items(), strict=False):
            for label, values in curves.items():
                axis.plot(values, ":" if label == "chance" else "-", marker=".", label=label)
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("epoch")
            axis.legend()
        for axis in list(figure.axes)[len(figures) :]:
            axis.axis("off")
        with whole_file(Path(output_folder) / "progress.png") as unfinished:
            figure.savefig(unfinished, dpi=80)
