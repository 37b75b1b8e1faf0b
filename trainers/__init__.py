"""Trainers found by nnU-Net through `nnUNet_extTrainer`; the code behind them lives in `nnssl_plugin`."""
