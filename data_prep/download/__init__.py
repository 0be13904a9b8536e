"""Public scans: the sample and IXI, checked and resumable."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["ixi", "sample"])
