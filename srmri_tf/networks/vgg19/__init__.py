"""VGG-19: where its weights come from, and the frozen features of the perceptual loss."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "features": ["build_features"],
        "weights": ["resolve", "VggWeights"],
    },
)
