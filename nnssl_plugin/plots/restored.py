import torch
from matplotlib.figure import Figure

from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.plots.example import Example
from nnssl_plugin.plots.slices import show_slices

MOST_SHOWN = 2


def plot_restored(example: Example) -> Figure:
    """A modality a line, of two patches: what was shown, what was restored, what is true."""
    restoration, true = example.objective, example.batch.images["clean"]
    stacks = {
        "shown": example.views.images["partial"],
        "restored": restoration.restored(example.features),
        "true": true,
    }
    columns = [(what, stack[i]) for i in range(min(MOST_SHOWN, len(true))) for what, stack in stacks.items()]
    rows = [torch.stack([images[c].float() for _, images in columns]) for c in range(true.shape[1])]
    titles = [[f"{name}, {what}" for what, _ in columns] for name in restoration.modalities]
    return show_slices(rows, titles, plane=mosaic_axes(example.batch.patch_size))
