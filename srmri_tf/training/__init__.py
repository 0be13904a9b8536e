"""Shards in, a RUN out: phases, epochs, checkpoints, one device or many."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fitting": ["fit"],
    },
)
