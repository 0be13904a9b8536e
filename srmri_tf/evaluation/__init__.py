"""RUNs in, tables and a figure out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "measuring": ["evaluate", "Evaluation"],
        "config": ["EvaluateConfig"],
    },
)
