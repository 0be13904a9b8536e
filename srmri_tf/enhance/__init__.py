"""A scan in, a scan of twice the matrix out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["enhance", "Request"],
        "worklist": ["make_worklist"],
        "volume": ["enhance_volume", "Settings"],
        "api": ["load_model", "Model"],
    },
)
