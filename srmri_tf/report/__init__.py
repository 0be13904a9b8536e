"""Self-contained HTML pages: of an evaluation, and of scans beside their results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["report"],
        "scan_pages": ["ScanPages"],
    },
)
