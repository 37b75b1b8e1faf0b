"""What the plugin costs, beside nnU-Net: `python -m benchmarks`, and `python -m benchmarks.gpu` where there is a GPU."""
