"""What the plugin costs compared with nnU-Net: `python -m benchmarks`, and `python -m benchmarks.gpu` where there is a GPU."""
