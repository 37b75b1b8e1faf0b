"""Self-supervised pre-training on multi-modal images for released nnU-Net."""

__version__ = "0.6.0"
