"""A scan in, a scan of twice the matrix out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["EnhanceConfig"],
        "files": ["enhance"],
        "worklist": ["make_worklist"],
        "volume": ["enhance_volume"],
        "api": ["Model"],
    },
)
