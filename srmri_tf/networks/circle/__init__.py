"""GAN-CIRCLE (the paper, section II; [26]): two generators and two critics in a cycle."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "building": ["build", "build_generator"],
        "critic": ["CircleCritic"],
        "degraders": ["KspaceDegrader", "LinearDegrader"],
        "fixed_degrader": ["FixedDegraderCircle"],
        "generator": ["CircleGenerator"],
        "model": ["Circle"],
    },
)
