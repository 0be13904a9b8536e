"""Whole studies: the demo, cross-validation, comparisons, model cards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["compare", "crossval", "demo", "fold", "model_card"]
)
