"""Both generators as functional models of Keras's own layers, which load without this package.

Layers have the names they have in `srmri_tf.cpce` and `srmri_tf.circle_networks`, so weights go
over by name. What both compute is the same, except that here GAN-CIRCLE takes even sides only:
padding that depends on the size would need code of ours.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from srmri_tf.circle_networks import FORMS


def stock_model(kind: str, options: Mapping[str, Any]) -> keras.Model:
    """The network in float32, with random weights: input ``lr``, output ``sr``.

    Args:
        kind: ``cpce`` or ``circle``.
        options: Of its generator.
    """
    lr = keras.Input((None, None, 1), name="lr")
    sr = _cpce(lr, options) if kind == "cpce" else _circle(lr, options)
    return keras.Model(lr, sr, name=kind)


def _cpce(lr: Any, options: Mapping[str, Any], filters: int = 32) -> Any:
    common = {"use_bias": False, "padding": "valid"}
    paths, x = [], lr
    for i in (1, 2, 3, 4):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{i}", **common)(x)
        paths.append(x)
    paths.pop()  # conv4 has no conveying path
    for i in (5, 6, 7):
        up = layers.Conv2DTranspose(filters, 3, activation="relu", name=f"deconv{i}", **common)
        x = layers.Concatenate(name=f"join{i}")([paths.pop(), up(x)])
        x = layers.Conv2D(filters, 1, activation="relu", name=f"squeeze{i}", **common)(x)
    x = layers.Conv2DTranspose(1, 3, name="deconv8", **common)(x)
    if options["shortcut"]:
        x = layers.Add(name="shortcut")([lr, x])
    return layers.ReLU(name="sr")(x)


def _circle(lr: Any, options: Mapping[str, Any]) -> Any:
    form = FORMS[options["widths"]]
    stride = options["first_stride"]
    collected, x = [], lr
    for i, width in enumerate(form.widths()):
        x = _conv(x, width, 3, f"feat{i + 1}", strides=1 if i else stride)
        collected.append(x)
    x = layers.Concatenate(name="collected")(collected)
    b2 = _conv(_conv(x, form.b1, 1, "B1"), form.b2, 3, "B2", leaky=not form.plain)
    x = layers.Concatenate(name="rebuilt")([_conv(x, form.a1, 1, "A1"), b2])
    x = _conv(x, form.c1, 3, "C1", leaky=not form.plain)
    if stride == 2:
        x = layers.Conv2DTranspose(
            form.c2, 4, strides=2, padding="same", use_bias=form.plain, name="C2"
        )(x)
        x = layers.LeakyReLU(0.1, name="C2_leaky")(x)
    else:
        x = _conv(x, form.c2, 3, "C2")
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, name="out")(x)
    return layers.Add(name="sr")([lr, x])


def _conv(
    x: Any, filters: int, size: int, name: str, *, strides: int = 1, leaky: bool = True
) -> Any:
    x = layers.Conv2D(filters, size, strides=strides, padding="same", name=name)(x)
    return layers.LeakyReLU(0.1, name=f"{name}_leaky")(x) if leaky else x
