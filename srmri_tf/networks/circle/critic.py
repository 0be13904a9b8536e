"""GAN-CIRCLE's critics: D_Y, which scores high-resolution images, and D_X."""

import math
from typing import Any, ClassVar

import keras
from keras import layers

from srmri_tf.networks.layers import CriticLeakyReLU, register

PATCH = (64, 64)


@register
class CircleCritic(keras.Model):
    """4x4 convolutions, instance norm, leaky ReLU; then two dense layers, or a map's mean.

    Args:
        form: ``eight_conv``, four stages of two convolutions (16,720,385 weights at 64x64);
            ``four_stage``, of one (11,147,073); ``patchgan``, the released code's, whose 8x8 map of
            scores is averaged (2,764,481); ``local``, one 7x7 convolution and two of 1x1, without
            norms, whose scores are averaged, too, and scaled so that a change of every pixel counts
            as much as in a dense layer.
        patch: Rows and columns of the images.
        dtype: Keras dtype policy of the hidden layers; the score is float32.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, 1) float32, larger for more real.

    Source: the paper, section II; [26], the discriminators.
    """

    STAGES: ClassVar = {
        "eight_conv": tuple((w, s) for w in (64, 128, 256, 512) for s in (1, 2)),
        "four_stage": ((64, 2), (128, 2), (256, 2), (512, 2)),
        "patchgan": ((64, 2), (128, 2), (256, 2), (512, 1)),
        "local": ((16, 1), (16, 1), (16, 1)),
    }
    SIZES: ClassVar = {"local": (7, 1, 1)}  # of the convolutions; 4 in the other forms
    # With an epsilon of 1 no norm amplifies. The usual 1e-5 makes a critic's slope on nearly
    # constant images 1e5 to 1e10: its penalty then drowns what it should learn.
    EPSILON = 1.0

    def __init__(
        self,
        form: str = "eight_conv",
        patch: tuple[int, int] = PATCH,
        dtype: Any = None,
        name: str = "critic",
    ) -> None:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        common = {"kernel_initializer": "he_normal", "dtype": policy}
        unnormalised = {"four_stage": 0, "local": 3}.get(form, 1)
        sizes = self.SIZES.get(form, (4,) * len(self.STAGES[form]))
        image = keras.Input((*patch, 1), name="image")
        x = image
        for i, ((width, stride), size) in enumerate(zip(self.STAGES[form], sizes, strict=True), 1):
            kept = {"strides": stride, "padding": "same", "name": f"conv{i}"}
            x = layers.Conv2D(width, size, **kept, **common)(x)
            if i > unnormalised:
                x = layers.GroupNormalization(
                    groups=-1, epsilon=self.EPSILON, name=f"in{i}", dtype=policy
                )(x)
            x = CriticLeakyReLU(0.2, name=f"leaky{i}", dtype=policy)(x)
        if form == "patchgan":
            x = layers.Conv2D(1, 4, padding="same", name="conv5", **common)(x)
            score = layers.GlobalAveragePooling2D(name="mean", dtype="float32")(x)
        elif form == "local":
            x = layers.Conv2D(1, 1, name="conv4", **common)(x)
            score = layers.GlobalAveragePooling2D(name="mean", dtype="float32")(x)
            score = layers.Rescaling(math.prod(patch) ** 0.5, name="scale", dtype="float32")(score)
        else:
            x = layers.Flatten(name="flatten", dtype=policy)(x)
            x = layers.Dense(1024, name="dense1", **common)(x)
            x = CriticLeakyReLU(0.2, name="leaky_dense1", dtype=policy)(x)
            score = layers.Dense(1, name="dense2", **{**common, "dtype": "float32"})(x)
        super().__init__(image, score, name=name)
        self.form, self.patch, self.policy = form, tuple(patch), policy

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "form": self.form,
            "patch": self.patch,
            "dtype": self.policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CircleCritic":
        """The critic of these arguments."""
        return cls(**config)
