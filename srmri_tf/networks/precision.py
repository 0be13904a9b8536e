"""What networks compute in: Keras dtype policies, and what ``auto`` means here."""

from pathlib import Path

import tensorflow as tf

from data_prep.errors import ConfigError

POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def resolve_precision(precision: str) -> str:
    """What ``auto`` means on this machine: bfloat16 where it is multiplied natively.

    Raises:
        ConfigError: There is no such precision.
    """
    if precision in POLICIES:
        return precision
    if precision != "auto":
        raise ConfigError(
            f"there is no precision {precision!r}",
            remedy=f"Give one of {', '.join(POLICIES)}, auto",
        )
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        return "bfloat16" if capability and capability >= (8, 0) else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return "float32"
    return "bfloat16" if {"amx_bf16", "avx512_bf16"} & set(flags) else "float32"
