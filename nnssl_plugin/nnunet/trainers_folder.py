from importlib.util import find_spec
from pathlib import Path


def trainers_folder() -> Path:
    """The folder with the trainers, in a wheel and in an editable install; nothing in it is imported."""
    spec = find_spec("nnssl_plugin.trainers")
    if spec is None or spec.origin is None:
        raise RuntimeError("nnssl_plugin is installed without its trainers: install it again with pip")
    return Path(spec.origin).parent
