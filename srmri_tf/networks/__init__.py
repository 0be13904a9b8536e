"""The paper: both GANs, their losses one equation each, and VGG-19's features."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cpce": ["Cpce", "CpceCritic", "CpceGenerator"],
        "circle": ["Circle", "CircleCritic", "CircleGenerator"],
        "objective": ["Term"],
    },
)
