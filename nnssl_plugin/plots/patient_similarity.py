from matplotlib.figure import Figure

from nnssl_plugin.plots.example import Example


def plot_patient_similarity(example: Example) -> Figure:
    """Cosine similarity of every source view with every target view; patients on the diagonal."""
    first, second = (example.objective.embed(example.features[name]) for name in ("source", "target"))
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow((first @ second.T).detach().float().cpu().numpy(), cmap="viridis")
    figure.colorbar(image, label="cosine similarity")
    axis.set_xlabel("patch, target modality")
    axis.set_ylabel("patch, denormalised source modality")
    return figure
