"""Super-resolution MRI with GAN-CPCE and GAN-CIRCLE (Lyu, You, Shan, Wang 2018)."""

__version__ = "0.1.0"
