#!/usr/bin/env bash
# Trains l1-x2 on scans of several contrasts and scanners, and measures its recipe on subjects
# that a network of it has not seen.
#
#   benchmarks/several.sh SCANS OUT
#
# SCANS: folder with openms_patient{03,04,12}_study*_{T2W,FLAIR,T1W} (Lesjak et al. 2016), torchio_FLAIR,
#        studyforrest_sub02_T1w, uih132225_T1w, vsseg001_T1ce and ixi_t1_defaced_example{1,2,3}, all .nii.gz;
#        docs/measurements.md, "The scans", says where they come from.
# OUT:   gets shards, the runs and the evaluations. The same command goes on where it stopped.
set -euo pipefail
scans=$1 out=$2 shards=$2/shards
mkdir -p "$out"
# Fold 0 is tested by a network that the other six train; l1-x2 learns from all nine. vsseg001, whose
# face is blurred, trains neither.
{
  printf 'subject\tsplit\tfold\n'
  printf '%s\ttrain\t0\n' openms_patient04 ixi_t1_defaced_example2 torchio
  printf '%s\ttrain\t\n' openms_patient{03,12} ixi_t1_defaced_example{1,3} studyforrest_sub02 uih132225
  printf 'vsseg001\ttest\t\n'
} >"$out/folds.tsv"
# Isotropic volumes shall not outweigh the others.
srmri-tf prepare "$scans" -o "$shards" --all-contrasts --split "$out/folds.tsv" --lr coarse --max-slices 120

# L1 alone. Noise and masks teach what to make of detail that no low-resolution image has.
settings=(
  --recipe fast-circle --precision float32 --batch-size 4 --epochs 0
  --set degrader=kspace --set transposes=true
  --set noise=0.05 --set noise_share=0.1 --set erase=0.1
  --set schedule.warmup_epochs=140 --set schedule.steps_per_epoch=1000
  --set schedule.decay_from=0 --set schedule.critic_epochs=0
)
srmri-tf crossval circle "$shards" -o "$out/crossval" "${settings[@]}" --consistency
srmri-tf fit circle "$shards" -o "$out/l1-x2" "${settings[@]}"

# The shipped GAN-CPCE networks have learnt from some of these subjects: their rows are marked.
unseen=$out/crossval/fold-0/circle shipped=(cpce-t2-x2 cpce-t1-x2)
for contrast in T2 FLAIR T1; do
  srmri-tf evaluate "$unseen" "${shipped[@]}" "$shards" --fold 0 --force --contrast "$contrast" \
    --consistency --no-bicubic -o "$out/evaluation-$contrast"
done
srmri-tf evaluate "$unseen" "$out/l1-x2" "${shipped[@]}" "$shards" \
  --consistency --no-bicubic -o "$out/evaluation-T1CE"
python "$(dirname "$0")/masks.py" "$unseen" "$out/l1-x2" "$scans/openms_patient04_study1_T2W.nii.gz" \
  --json "$out/masks.json"
python "$(dirname "$0")/picture.py" "$out/evaluation-FLAIR" lr circle+dc -o "$out/unseen.png"
