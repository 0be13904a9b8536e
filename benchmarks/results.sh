#!/usr/bin/env bash
# Trains and measures the networks of single contrasts, for docs/measurements.md; what that page has beside them names
# its own command there.
#
#   benchmarks/results.sh SCANS OUT VGG
#
# SCANS: folder with the T2 volumes openms_patient{03,04,12}_study*_T2W.nii.gz (Lesjak et al. 2016).
# OUT:   gets shards, runs, evaluations and pictures. The same command goes on where it stopped.
# VGG:   as `--vgg-weights`: auto, imagenet or a file.
set -euo pipefail
scans=$1 out=$2 vgg=$3
runs=$out/runs shards=$out/shards
folds=$out/folds crossval=$out/crossval comparison=$out/comparison
here=$(dirname "$0")
licence="Lesjak et al., Neuroinformatics 2016, CC BY; clinical MS T2 scans"
mkdir -p "$runs"

# --- Every patient tested by networks that were trained on the other two -------------------------
srmri-tf prepare "$scans" -o "$folds" --folds 3
cross() {
  srmri-tf crossval "$1" "$folds" -o "$crossval/$2" --set validation.fold=none --licence "$licence" \
    "${@:3}"
}
with_adam=(--set optimizer.generators=adam --set schedule.warmup_batch_size=0)
l1_alone=(--set schedule.critic_epochs=0 --set schedule.epochs=0)
network() { # L1 alone is the fast recipe's warm-up, and GAN-CIRCLE's fast recipe is supervised.
  case $1 in
    l1)
      cross cpce l1 --recipe fast-cpce --set vgg_weights="$vgg" --consistency \
        "${l1_alone[@]}"
      ;;
    fast-cpce) cross cpce fast-cpce --recipe fast-cpce --set vgg_weights="$vgg" --consistency ;;
    fast-circle) cross circle fast-circle --recipe fast-circle --consistency ;;
    l1-adam)
      adam cpce l1-adam --set vgg_weights="$vgg" --consistency \
        "${l1_alone[@]}"
      ;;
    cpce-adam) adam cpce cpce-adam --set vgg_weights="$vgg" --consistency ;;
    circle-adam) adam circle circle-adam --consistency ;;
  esac
}
adam() { # MODEL NAME SETTINGS...: the fast recipe with Adam and 16 pairs per update throughout
  cross "$1" "$2" --recipe "fast-$1" "${with_adam[@]}" "${@:3}"
}
compared() { # NETWORK...
  for name in "$@"; do network "$name"; done
  srmri-tf compare "${@/#/$crossval/}" -o "$comparison"
}
compared l1 fast-cpce fast-circle l1-adam cpce-adam

# GAN-CIRCLE with Adam; then with fewer pairs, or without the supervised term.
modes() { # SUFFIX SETTINGS...: the suffix tells one seed from another
  adam circle "circle-no-lsup$1" --set objective.supervised=0 "${@:2}"
  adam circle "circle-semi50$1" --set mode=semi --set paired_fraction=0.5 "${@:2}"
  adam circle "circle-semi10$1" --set mode=semi --set paired_fraction=0.1 "${@:2}"
  adam circle "circle-unsupervised$1" --set mode=unsupervised "${@:2}"
}
network circle-adam
modes ""
srmri-tf compare "$crossval"/circle-{adam,no-lsup,semi50,semi10,unsupervised} \
  -o "$out/modes"

# Without any pair, where F is known or learnt first.
for how in physics blind; do
  cross circle "unsupervised-$how" --recipe "unsupervised-$how" --consistency
done
srmri-tf compare "$crossval"/unsupervised-{physics,blind} -o "$out/unsupervised"
python "$here/degrader.py" "$crossval"/unsupervised-blind/fold-*/circle "$folds" \
  --json "$out/degrader.json"

# A second seed: on every patient, and the modes on the fold that tests patient 12.
adam circle circle-adam-seed1 --set seed=1
modes -seed1 --set seed=1 --fold 1
srmri-tf compare "$crossval"/circle-adam{,-seed1} -o "$out/seeds"

# Low resolution as scanners store it: GAN-CPCE, as it comes with the package, and L1 alone.
coarse() { # OUT SCANS: and what networks that learnt from either kind of pairs gain on coarse scans
  local out=$1 folds=$1/coarse/folds crossval=$1/coarse/crossval comparison=$1/coarse/comparison
  srmri-tf prepare "$2" -o "$folds" --folds 3 --lr coarse
  compared l1 fast-cpce
  python "$here/coarse.py" "$1/folds" {"$1/crossval","$crossval"}/{l1,fast-cpce} --json "$out/coarse.json"
}
coarse "$out" "$scans"

# The same networks on the sample's three T1 subjects.
t1() {
  local out=$out/t1 folds=$out/t1/folds crossval=$out/t1/crossval comparison=$out/t1/comparison
  local licence="IXI, brain-development.org, CC BY-SA 3.0; T1 sample, defaced (not the paper's IXI T2)"
  srmri-tf download sample "$out/scans"
  srmri-tf prepare "$out/scans" -o "$folds" --folds 3
  compared l1 fast-cpce fast-circle
  coarse "$out" "$out/scans"
}
t1

# How fast-cpce's L1 weight was chosen: patient 03 trains, 04 validates, 12 is not looked at.
for weight in 400 200; do
  srmri-tf fit cpce "$folds" -o "$out/weights/$weight" --recipe fast-cpce --vgg-weights "$vgg" \
    --set fold=1 --set schedule.warmup_epochs=10 --epochs 1 --set objective.l1="$weight.0" \
    "${with_adam[@]}"
done

# --- Patients 03 and 04 train, 12 is only measured -----------------------------------------------
printf '%s\t%s\n' subject split openms_patient03 train openms_patient04 train \
  openms_patient12 test >"$out/split12.tsv"
srmri-tf prepare "$scans" -o "$shards" --split "$out/split12.tsv" --min-signal 0.05

# The paper's recipes and schedule over 2,548 updates of the generator, and over 9,996: minutes on a GPU, hours
# and days on a processor. GAN-CPCE in batches of 16 instead of 128; row is the released code's penalty.
paper=(--set validation.max_slices=8 --set validation.monitor=last)
paper_cpce() { # SHARDS NAME SETTINGS...
  srmri-tf fit cpce "$1" -o "$runs/$2" --recipe paper-cpce --batch-size 16 \
    --vgg-weights "$vgg" "${paper[@]}" "${@:3}"
}
paper_circle() { # SHARDS NAME SETTINGS...
  srmri-tf fit circle "$1" -o "$runs/$2" --recipe paper-circle "${paper[@]}" "${@:3}"
}
paper_cpce "$shards" paper-cpce --epochs 52
paper_cpce "$shards" paper-cpce-long --epochs 204
paper_cpce "$shards" paper-cpce-row --epochs 52 --set objective.penalty_norm=row
paper_circle "$shards" paper-circle --epochs 52

# The same at the acquired matrix, over 2,516 updates: fewer patches, hence more and shorter epochs.
acquired=$out/acquired
srmri-tf prepare "$scans" -o "$acquired" --split "$out/split12.tsv" --min-signal 0.05 --matrix acquired
paper_cpce "$acquired" acquired-cpce --epochs 68
paper_cpce "$acquired" acquired-cpce-row --epochs 68 --set objective.penalty_norm=row
paper_circle "$acquired" acquired-circle --epochs 17 --batch-size 16

# What each term and setting of it does, at 490 updates of the generator.
single() { paper_cpce "$shards" "single-$1" --epochs 10 --precision auto "${@:2}"; }
single printed
single shortcut --set generator.shortcut=true
single critic-first --set schedule.critic_epochs=2
single perceptual-0 --set objective.perceptual=0.0
single perceptual-1 --set objective.perceptual=1.0
single l1-200 --set objective.l1=200.0
single l1-400 --set objective.l1=400.0

# Precisions at equal epochs; float16, which a CPU emulates, at small batches.
precision() {
  srmri-tf fit cpce "$shards" -o "$runs/$1" --recipe fast-cpce --vgg-weights "$vgg" \
    --precision "$2" --batch-size "$3" --set schedule.steps_per_epoch=40 \
    --set schedule.warmup_epochs=6 --epochs 1 "${with_adam[@]}"
}
for kind in float32 bfloat16; do precision "$kind" "$kind" 16; done
for kind in float32 bfloat16 float16; do precision "small-$kind" "$kind" 4; done

# --- Measures and pictures -----------------------------------------------------------------------
# Of the fold that tests patient 12, under their own names.
gans=(circle-{adam,no-lsup,semi50,semi10,unsupervised})
both=("${gans[@]}" "${gans[@]/%/-seed1}")
for name in l1 fast-cpce fast-circle "${both[@]}"; do
  rm -rf "${runs:?}/$name"
  cp -r "$crossval/$name"/fold-1/c[pi]* "$runs/$name"
done
perceptual() { # NAME RUN...
  srmri-tf evaluate "${@:2}" "$shards" -o "$out/$1" --perceptual --vgg-weights "$vgg" --slices 12 \
    --licence "$licence"
}
perceptual evaluation "$runs"/{l1,fast-cpce,fast-circle}
perceptual paper "$runs"/paper-{cpce,cpce-long,cpce-row,circle} --consistency
perceptual single "$runs"/single-* --consistency
python "$here/background.py" "$runs"/paper-{cpce,cpce-long,cpce-row,circle} "$shards" --json "$out/background.json"
python "$here/background.py" "$runs"/paper-cpce{,-long} "$acquired" --json "$out/background-acquired.json"
srmri-tf evaluate "$runs"/{paper,acquired}-{cpce,cpce-row,circle} "$runs/paper-cpce-long" "$acquired" -o "$out/paper-acquired" \
  --consistency --perceptual --vgg-weights "$vgg" --no-bicubic --licence "$licence"
srmri-tf evaluate "${both[@]/#/$runs/}" "$folds" --fold 1 -o "$out/seeds12" --licence "$licence"
srmri-tf evaluate "$runs"/{float32,bfloat16} "$shards" -o "$out/precision" \
  --licence "$licence"
srmri-tf report "$out/evaluation"

python "$here/curves.py" "$runs"/{l1,fast-cpce} --by epochs -o "$out/curves-cpce.png"
python "$here/curves.py" "$runs"/paper-{cpce,cpce-long,cpce-row,circle} --by epochs -o "$out/curves-paper.png"
python "$here/curves.py" "${gans[@]/#/$runs/}" --by epochs -o "$out/curves-circle.png"
python "$here/curves.py" "$runs"/{float32,bfloat16} --by epochs -o "$out/curves-precision.png"
python "$here/curves.py" "$runs"/small-{float32,bfloat16,float16} --by epochs \
  -o "$out/curves-float16.png"
python "$here/picture.py" "$out/evaluation" lr l1 fast-cpce fast-circle -o "$out/results.png"
python "$here/picture.py" "$out/paper" lr paper-cpce-long paper-circle -o "$out/paper.png"
