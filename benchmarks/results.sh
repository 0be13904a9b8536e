#!/usr/bin/env bash
# Regenerates every figure of docs/results.md: trains all networks and measures them.
#
#   benchmarks/results.sh SCANS OUT VGG
#
# SCANS: folder with the T2 volumes openms_patient{03,04,12}_study*_T2W.nii.gz (Lesjak et al. 2016).
# OUT:   gets shards, runs, evaluation and pictures. The same command goes on where it stopped.
# VGG:   as `--vgg-weights`: auto, imagenet or a file.
set -euo pipefail
scans=$1 out=$2 vgg=$3
runs=$out/runs shards=$out/shards
mkdir -p "$out"

# Patients 03 and 04 train, 12 is only measured.
printf '%s\t%s\n' subject split openms_patient03 train openms_patient04 train \
  openms_patient12 test >"$out/split12.tsv"
srmri-tf prepare "$scans" -o "$shards" --split "$out/split12.tsv" --min-signal 0.05

cpce() { srmri-tf fit cpce "$shards" -o "$runs/$1" --vgg-weights "$vgg" "${@:2}"; }
circle() { srmri-tf fit circle "$shards" -o "$runs/$1" --recipe fast-circle "${@:2}"; }

# GAN-CPCE: L1 alone, the fast recipe (its warm-up is exactly that), the paper's.
cpce l1 --recipe fast-cpce --set schedule.critic_epochs=0 --epochs 0
cpce fast-cpce --recipe fast-cpce
# The paper's hundred epochs take hours to days here: this one is stopped as Ctrl-C would.
timeout --signal=INT "${PAPER_SECONDS:-210}" srmri-tf fit cpce "$shards" -o "$runs/paper-cpce" \
  --recipe paper-cpce --batch-size 16 --precision bfloat16 --vgg-weights "$vgg" || [ $? -eq 124 ]

# GAN-CIRCLE: every budget is the same.
circle circle
circle circle-no-lsup --set objective.supervised=0
circle circle-semi50 --mode semi --paired-fraction 0.5
circle circle-semi10 --mode semi --paired-fraction 0.1
circle circle-unsupervised --mode unsupervised

# Precisions at equal epochs.
for precision in float32 bfloat16; do
  cpce "$precision" --recipe fast-cpce --precision "$precision" \
    --set schedule.steps_per_epoch=40 --set schedule.warmup_epochs=6 --epochs 1
done

licence="Lesjak et al., Neuroinformatics 2016, CC BY; clinical MS T2 scans"
srmri-tf evaluate "$runs"/{l1,fast-cpce,paper-cpce,circle,circle-no-lsup,circle-semi50} \
  "$runs"/{circle-semi10,circle-unsupervised} "$shards" -o "$out/evaluation" \
  --vgg-weights "$vgg" --slices 12 --licence "$licence"
srmri-tf evaluate "$runs"/{l1,fast-cpce,circle} "$shards" -o "$out/consistency" \
  --vgg-weights none --consistency --licence "$licence"
srmri-tf evaluate "$runs"/{float32,bfloat16} "$shards" -o "$out/precision" \
  --vgg-weights none --licence "$licence"
srmri-tf report "$out/evaluation"

here=$(dirname "$0")
python "$here/curves.py" "$runs"/{l1,fast-cpce} -o "$out/curves-cpce.png"
python "$here/curves.py" "$runs"/circle{,-no-lsup,-semi50,-semi10,-unsupervised} \
  -o "$out/curves-circle.png"
python "$here/curves.py" "$runs"/{float32,bfloat16} --by epochs -o "$out/curves-precision.png"
python "$here/picture.py" "$out/evaluation" lr l1 fast-cpce circle -o "$out/results.png"
