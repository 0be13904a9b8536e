#!/usr/bin/env bash
# How fast a CUDA machine trains and enhances, in one JSON. docs/training.md says how to read it.
#
#   benchmarks/gpu.sh [--json FILE] [--steps N] [--rounds N] [--dry-run]
#
# PYTHON:       interpreter with `pip install '.[gpu]'`; default: python.
# TORCH_PYTHON: interpreter with `pip install torch numpy`, for the rows of PyTorch; default: PYTHON.
#               TensorFlow and PyTorch bring CUDA libraries of their own: give each its environment.
# --dry-run:    everything once in tiny sizes, without a GPU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PYTHON=${PYTHON:-python}
export TORCH_PYTHON=${TORCH_PYTHON:-$PYTHON}
if [[ " $* " == *" --dry-run "* ]]; then # compile for correctness alone: seconds, not minutes
  export XLA_FLAGS="${XLA_FLAGS:-} --xla_backend_optimization_level=0"
fi
command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus
exec "$PYTHON" "$here/gpu.py" "$@"
