"""Converters from published layouts to nnU-Net data sets."""
