"""Read a scan: find files, read their names, NIfTI and fastMRI; orientation; intensity."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "names": ["Scan"],
        "nifti": ["NiftiImage"],
        "orientation": ["find_slicing", "Slicing", "Volume"],
        "sources": ["find", "read"],
    },
)
