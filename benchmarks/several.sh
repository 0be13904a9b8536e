#!/usr/bin/env bash
# Trains l1-x2 on scans of several contrasts and scanners, and measures it on subjects
# that it has not seen.
#
#   benchmarks/several.sh SCANS OUT
#
# SCANS: folder with openms_patient{03,04,12}_study*_{T2W,FLAIR,T1W} (Lesjak et al. 2016), torchio_FLAIR,
#        studyforrest_sub02_T1w, uih132225_T1w, vsseg001_T1ce and ixi_t1_defaced_example{1,2,3}, all .nii.gz;
#        docs/measurements.md, "The scans", says where they come from.
# OUT:   gets shards, the runs and the evaluations. The same command goes on where it stopped.
set -euo pipefail
scans=$1 out=$2
mkdir -p "$out"
train=(openms_patient{03,12} ixi_t1_defaced_example{1,3} studyforrest_sub02 uih132225)
test=(openms_patient04 ixi_t1_defaced_example2 torchio vsseg001)
{
  printf 'subject\tsplit\n'
  printf '%s\ttrain\n' "${train[@]}"
  printf '%s\ttest\n' "${test[@]}"
} >"$out/split.tsv"
# Isotropic volumes shall not outweigh the others, and background teaches nothing.
srmri-tf prepare "$scans" -o "$out/shards" --all-contrasts --split "$out/split.tsv" --lr coarse \
  --max-slices 60 --min-signal 0.05
# L1 alone, by the known degradation.
srmri-tf fit circle "$out/shards" -o "$out/l1-x2" --recipe fast-circle --set degrader=kspace \
  --set transposes=true --batch-size 4 --precision float32 --set optimizer.weight_decay=0.1 \
  --set schedule.decay_from=0 --set schedule.steps_per_epoch=800 \
  --set schedule.warmup_epochs=150 --set schedule.critic_epochs=0 --epochs 0
for contrast in T2 FLAIR T1 T1CE; do
  # The shipped networks of one contrast have learnt from some of these subjects: their rows are marked.
  srmri-tf evaluate "$out/l1-x2" cpce-t2-x2 cpce-t1-x2 "$out/shards" --force \
    --contrast "$contrast" --consistency --no-bicubic -o "$out/evaluation-$contrast"
done
srmri-tf evaluate "$out/l1-x2" "$out/shards" --consistency --no-bicubic -o "$out/evaluation-l1-x2"
for contrast in T2W T1W; do
  for stored in "" --coarse; do
    python "$(dirname "$0")/masks.py" "$out/l1-x2" cpce-t2-x2 cpce-t1-x2 \
      "$scans"/openms_patient04_study1_"$contrast".nii.gz $stored --json "$out/masks$stored-$contrast.json"
  done
done
python "$(dirname "$0")/picture.py" "$out/evaluation-FLAIR" lr l1-x2+dc -o "$out/unseen.png"
