import numpy as np
from matplotlib.figure import Figure

from nnssl_plugin.plots.example import Example

MOST_SHOWN = 4


def plot_place_similarity(example: Example) -> Figure:
    """Similarity of one place of the source view (crossed) with every place of the target view, by patch."""
    contrast, patch = example.objective, example.batch.patch_size
    stages = [example.features[name].encoder[contrast.stages[0]] for name in ("source", "target")]
    shape = tuple(stages[0].shape[2:])
    first, second = (contrast.embed(stage, 0) for stage in stages)
    places, _ = contrast.places(shape, example.views, example.batch)
    size = min(MOST_SHOWN, len(first))
    figure = Figure(figsize=(2.6 * size, 5.4), layout="constrained")
    axes = figure.subplots(2, size, squeeze=False)
    for i in range(size):
        place = int(places[i, 0])
        position = np.unravel_index(place, shape)
        similarity = (second[i] @ first[i, place]).view(shape).float().cpu().numpy()
        source = example.views.images["source"][i, 0].float().cpu().numpy()
        if source.ndim == 3:
            similarity, source = similarity[position[0]], source[int((position[0] + 0.5) * patch[0] / shape[0])]
        row, column = ((p + 0.5) * s / n for p, s, n in zip(position[-2:], source.shape, shape[-2:], strict=True))
        axes[0, i].imshow(source, cmap="gray")
        axes[0, i].plot(column, row, "+", color="red", markersize=12)
        axes[0, i].set_title("source and place", fontsize=8)
        axes[1, i].imshow(similarity, cmap="viridis", vmin=-1, vmax=1)
        axes[1, i].plot(position[-1], position[-2], "+", color="red", markersize=12)
        axes[1, i].set_title("similarity in target", fontsize=8)
        for axis in axes[:, i]:
            axis.axis("off")
    return figure
