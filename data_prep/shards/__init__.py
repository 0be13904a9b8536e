"""What a shard is: records and manifest, TFRecord files, patches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "schema": ["Manifest", "Parameters", "read_manifest", "Shard", "SplitRule"],
        "files": ["records", "verify", "whole_slices"],
        "patches": ["origins", "stitch", "tile"],
    },
)
