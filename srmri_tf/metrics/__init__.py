"""Measures of one image against the truth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "image": [
            "BACKGROUND_LEVEL",
            "energy",
            "high_frequency",
            "high_frequency_energy",
            "is_background",
            "nrmse",
            "psnr",
            "psnr_of",
            "ratio",
            "squared_error",
            "ssim",
            "ssim_map",
        ]
    },
)
