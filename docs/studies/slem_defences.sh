#!/bin/sh
# SLeM alone with all of its defences against shortcuts, without each of them, and without any (docs/slem.md):
#   slem_defences.sh DATASET PLANS CONFIGURATION FOLD DEVICE [what follows --set, like pretraining.epochs=12]
# nnU-Net's folders and nnUNet_extTrainer must be set. Interrupted, it goes on where it was.
set -eu
dataset=$1 plans=$2 configuration=$3 fold=$4 device=$5
shift 5
slem=pretraining.objectives.slem
folder=$(echo "$nnUNet_results"/Dataset"$(printf %03d "$dataset")"_*)

run() {
    name=Slem_$1
    shift
    run=$folder/SSLPretrainTrainer__${name}__$configuration/fold_$fold
    if [ ! -f "$run/validation/summary.json" ]; then
        nnssl_plugin plan -d "$dataset" -p "$plans" -o "$name" --preset slem --overwrite --set "$@"
        resume=
        [ ! -f "$run/checkpoint_latest.pth" ] || resume=--c
        nnUNetv2_train "$dataset" "$configuration" "$fold" -tr SSLPretrainTrainer -p "$name" -device "$device" $resume
    fi
    python - "$name" "$run/validation/summary.json" <<'PYTHON'
import json, sys
mean = json.load(open(sys.argv[2]))["mean"]
keys = ("accuracy", "accuracy_chance", "block_accuracy", "block_accuracy_chance", "histogram_block_accuracy")
print(sys.argv[1], *(f"{key} {mean['slem/' + key]:.3f}" for key in keys))
PYTHON
}

run all "$@"
run without_gap "$@" $slem.gap=0
run without_intensity "$@" $slem.intensity=0
run with_denormalization "$@" $slem.denormalization_probability=0.5
run without_minimum_foreground "$@" pretraining.minimum_foreground=0
run without_any "$@" $slem.gap=0 $slem.intensity=0 pretraining.minimum_foreground=0
