"""The rows of PyTorch in gpu.py's table: whole training steps, on the GPU where there is one.

    python benchmarks/gpu_torch.py '{"cpce": 128, "circle": 64}' STEPS ROUNDS

A process of its own, for PyTorch and TensorFlow bring CUDA libraries that do not get on. Prints
one line of JSON: seconds a step of every row in every round, versions, and what failed.
"""

import json
import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from turns import in_turns

SIDE = 64
N_CRITIC = 4
DROPOUT = 0.2


def random(*shape: int) -> torch.Tensor:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.rand(*shape, device=device)


def cpce(batch: int, bfloat16: bool) -> Callable[[], object]:
    """A step of `paper-cpce`: four critic updates and a generator update."""
    from torch_cpce import Step

    pairs = random(2, N_CRITIC * batch, SIDE, SIDE, 1)
    alphas = list(random(N_CRITIC, batch, 1, 1, 1))
    step = Step(N_CRITIC, bfloat16, device=pairs.device.type)
    return lambda: step(pairs[0], pairs[1], alphas)


def circle(batch: int, bfloat16: bool) -> Callable[[], object]:
    """A step of `paper-circle`: both critics, both generators."""
    from torch_circle import Step

    pairs = random(2, batch, SIDE, SIDE, 1)
    alphas = list(random(2, batch, 1, 1, 1))
    step = Step(bfloat16, DROPOUT, SIDE, device=pairs.device.type)
    return lambda: step(pairs[0], pairs[1], alphas)


def main() -> None:
    batches, steps, rounds = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    # As TensorFlow does by default: TF32 in float32, the fastest algorithm of a few.
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    seconds: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for name, make in {"cpce": cpce, "circle": circle}.items():
        for precision in ("float32", "bfloat16"):
            row = f"{name}, {precision}"
            try:
                step = make(batches[name], precision == "bfloat16")
                taken = in_turns({row: lambda: [step() for _ in range(steps)]}, rounds)  # noqa: B023
            except RuntimeError as error:  # out of memory, or no kernel for this GPU
                failed[row] = str(error).splitlines()[0]
                continue
            seconds[row] = (np.array(taken[row]) / steps).tolist()
    versions = {"torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    print(json.dumps({"seconds": seconds, "versions": versions, "failed": failed}))


if __name__ == "__main__":
    main()
