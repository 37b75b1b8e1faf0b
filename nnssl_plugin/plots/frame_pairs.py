import torch
from matplotlib.figure import Figure

from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.objectives.pair_losses import first_with_second
from nnssl_plugin.objectives.patient_contrast import pooled
from nnssl_plugin.plots.example import Example
from nnssl_plugin.plots.slices import show_slices

SHOWN = 6


def plot_frame_pairs(example: Example) -> Figure:
    """Pairs of mixed frames, one below the other, with their cosine similarity and, where it is learned, the pair's weight."""
    objective, views = example.objective, [example.features[name] for name in ("first", "second")]
    first, second = map(objective.embed, views)
    said = [f"cosine {cosine:.2f}" for cosine in (first * second).sum(dim=1).tolist()]
    if objective.reducer.weigh is not None:
        representations = torch.cat([pooled(features) for features in views])
        weights = objective.reducer.weigh(representations, first_with_second(len(first), first.device)).tolist()
        said = [f"{text}, weight {weight:.2f}" for text, weight in zip(said, weights, strict=True)]
    images = [example.views.images[name][:SHOWN, 0].float() for name in ("first", "second")]
    titles = [[f"first mixture\n{text}" for text in said[:SHOWN]], ["second mixture"] * len(images[1])]
    return show_slices(images, titles, plane=mosaic_axes(example.batch.patch_size))
