"""A trained network, kept and opened: RUN folders, checkpoints, exports, model cards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "run": ["Run"],
        "model": ["load_network", "Network"],
        "card": ["ModelCard", "shipped_card", "shipped_names"],
        "exporting": ["export"],
    },
)
