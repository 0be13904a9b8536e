"""Scans in, shards out: plan, splits, conversion, going on after a stop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "pipeline": ["prepare", "PrepareConfig"],
        "cluster": ["dask_executor"],
    },
)
