"""What the benchmarks share: taking turns, ratios, and the JSON they write.

Absolute times on a shared machine are noise; alternatives measured in turns in one run drift
together, so ratios are taken round by round and their median is reported.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LAYOUTS = {"channels last": True, "channels first": False}
"""Of tensors in PyTorch; which is faster depends on the processor."""


def in_turns(
    variants: Mapping[str, Callable[[], Any]], rounds: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Seconds of each variant in each round, A B C A B C ..., after uncounted warm-ups."""
    for call in variants.values():
        for _ in range(warmups):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> float:
    """How many times as fast the second is: the median over rounds."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def fastest(seconds: Mapping[str, list[float]], prefix: str) -> list[float]:
    """The seconds of the best of the variants whose names begin so."""
    return min((s for n, s in seconds.items() if n.startswith(prefix)), key=statistics.median)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model, flags = "", set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
        flags = next((set(x.split()) for x in lines if x.startswith("flags")), set())
    return {
        "processor": model or platform.processor(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def report(
    ratios: Mapping[str, float],
    figures: Mapping[str, Any],
    data: str,
    path: Path | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print ratios and figures, tables aside, and write all to a JSON file if one is given.

    Args:
        ratios: What the benchmark is about.
        figures: What the ratios come from; tables among them are written, not printed.
        data: What was measured on.
        path: Where the JSON goes; None writes none.
        more: What is to be said about the machine beside processor, cores and Python.
    """
    result = {
        "ratios": dict(ratios),
        "figures": dict(figures),
        "machine": {**machine(), **(more or {})},
        "data": data,
    }
    shown = {k: v for k, v in {**figures, **ratios}.items() if not isinstance(v, Mapping)}
    width = max(map(len, shown))
    for name, value in shown.items():
        print(f"{name:<{width}}  {value:.4g}" if isinstance(value, float) else f"{name}  {value}")
    print(f"data: {data}\nmachine: {result['machine']}")
    if path:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
