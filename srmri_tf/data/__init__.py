"""Shards in, tensors out: training pairs in a seeded order, and whole slices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dataset": ["Shards", "SlicePair"],
        "pairing": ["Pairing"],
    },
)
