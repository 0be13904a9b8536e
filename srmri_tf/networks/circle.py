"""GAN-CIRCLE (the paper, section II; [26]): generators, critics, objective and training step.

G super-resolves low-resolution images x, F degrades high-resolution images y; D_Y scores what G
makes and D_X what F makes. Images are (B, H, W, 1) float in [0, 1].
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from data_prep.kspace import Degradation
from srmri_tf.networks import losses
from srmri_tf.networks.degraders import KspaceDegrader, LinearDegrader
from srmri_tf.networks.gan import (
    AdversarialModel,
    Logs,
    make_optimizer,
    own_generator,
)
from srmri_tf.networks.gradients import minimise, ordered_sum
from srmri_tf.networks.layers import (
    CriticLeakyReLU,
    StatelessDropout,
    register,
    replica_uniform,
)
from srmri_tf.networks.objective import Term, own_terms, weighted_sum
from srmri_tf.recipes.config import CircleConfig, CircleObjective

PATCH = (64, 64)
BLOCKS = 12


@dataclass(frozen=True)
class _Form:
    """Filters of one form of the generator.

    Args:
        first: Of the first feature block; the last has 16.
        a1: Of A1, as b1 of B1, b2 of B2, c1 of C1 and c2 of C2.
        plain: The released code leaves B2 and C1 without activation and gives C2 a bias.
    """

    first: int
    a1: int
    b1: int
    b2: int
    c1: int
    c2: int
    plain: bool = False

    def widths(self) -> list[int]:
        """Filters of the feature blocks, falling from ``first`` to 16 (DCSCN's rule)."""
        last = 16
        fall = [1 - (i / (BLOCKS - 1)) ** (1 / 1.5) for i in range(BLOCKS)]
        return [int((self.first - last) * share + last) for share in fall]


FORMS = {
    "paper": _Form(first=64, a1=24, b1=8, b2=8, c1=32, c2=16),
    "released": _Form(first=128, a1=64, b1=32, b2=8, c1=72, c2=36, plain=True),
}


@register
class CircleGenerator(keras.Model):
    """Twelve densely collected feature blocks, a reconstruction, the input added: G and F.

    Each block sees the one before; the reconstruction sees all twelve. Fully convolutional: any
    image keeps its size. 168,104 weights in the paper's form.

    Args:
        widths: ``paper`` or ``released``.
        first_stride: 2 halves the image in the first block and restores it in C2; 1 does not.
        dropout: Fraction of the blocks' features dropped where ``noise`` is given.
        dtype: Keras dtype policy of the hidden layers; the result is float32.
        name: Of the model.

    Call:
        (B, H, W, 1) -> (B, H, W, 1) float32 of any sign.

    Source: [26], the generators, after DCSCN; the paper, section II; stride 2 and the added input
        are the released code's for images that keep their size.
    """

    def __init__(
        self,
        widths: str = "paper",
        first_stride: int = 2,
        dropout: float = 0.2,
        dtype: Any = None,
        name: str = "generator",
    ) -> None:
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        form = FORMS[widths]
        common = {"padding": "same", "kernel_initializer": "he_normal", "dtype": policy}
        drops = []

        def conv(
            name: str, filters: int, size: int, x: Any, *, leaky: bool = True, **kw: Any
        ) -> Any:
            x = layers.Conv2D(filters, size, name=name, **common, **kw)(x)
            return leaky_relu(name, x) if leaky else x

        def leaky_relu(name: str, x: Any) -> Any:
            return layers.LeakyReLU(0.1, name=f"{name}_leaky", dtype=policy)(x)

        lr = keras.Input((None, None, 1), name="lr")
        collected, x = [], lr
        for i, width in enumerate(form.widths()):
            x = conv(f"feat{i + 1}", width, 3, x, strides=1 if i else first_stride)
            if dropout:
                drops.append(StatelessDropout(dropout, i, name=f"drop{i + 1}", dtype=policy))
                x = drops[-1](x)
            collected.append(x)
        x = layers.Concatenate(name="collected", dtype=policy)(collected)
        a1 = conv("A1", form.a1, 1, x)
        b1 = conv("B1", form.b1, 1, x)
        b2 = conv("B2", form.b2, 3, b1, leaky=not form.plain)
        x = layers.Concatenate(name="rebuilt", dtype=policy)([a1, b2])
        x = conv("C1", form.c1, 3, x, leaky=not form.plain)
        if first_stride == 2:
            up = {"strides": 2, "use_bias": form.plain, "name": "C2"}
            x = leaky_relu("C2", layers.Conv2DTranspose(form.c2, 4, **up, **common)(x))
        else:
            x = conv("C2", form.c2, 3, x)
        x = conv("out", 1, 3, x, leaky=False, use_bias=False)
        super().__init__(lr, layers.Add(name="sr", dtype="float32")([lr, x]), name=name)
        self.widths, self.first_stride, self.dropout = widths, first_stride, dropout
        self.policy, self._drops = policy, drops

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        noise: tf.Tensor | None = None,
        mask: Any = None,
    ) -> tf.Tensor:
        """Translate (B, H, W, 1) images.

        Args:
            images: Any side; an odd one is mirrored by a pixel and cropped again, because a stride
                of 2 samples odd and even images at different places.
            training: Without effect.
            noise: (2,) int64 that decides what is dropped; None drops nothing.
            mask: Without effect.
        """
        for layer in self._drops:
            layer.noise = noise
        try:
            if self.first_stride == 1:
                return super().call(images)
            height, width = tf.shape(images)[1], tf.shape(images)[2]
            return super().call(to_even(images))[:, :height, :width]
        finally:
            for layer in self._drops:
                layer.noise = None

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "widths": self.widths,
            "first_stride": self.first_stride,
            "dropout": self.dropout,
            "dtype": self.policy.name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CircleGenerator":
        """The generator of these arguments."""
        return cls(**config)


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


class Images(NamedTuple):
    """What the terms of the objective are functions of: x, y and what the generators make of them.

    All are (B, H, W, 1), but for ``paired`` (B,): 1 where x and y are a pair, else 0.
    """

    x: tf.Tensor
    y: tf.Tensor
    paired: tf.Tensor
    y_fake: tf.Tensor  # G(x)
    x_fake: tf.Tensor  # F(y)
    y_same: tf.Tensor | None = None  # G(y)
    x_same: tf.Tensor | None = None  # F(x)
    x_cycle: tf.Tensor | None = None  # F(G(x))
    y_cycle: tf.Tensor | None = None  # G(F(y))

    @property
    def lr(self) -> tf.Tensor:
        """What terms of the user's own call x."""
        return self.x

    @property
    def sr(self) -> tf.Tensor:
        """What terms of the user's own call G(x)."""
        return self.y_fake

    @property
    def hr(self) -> tf.Tensor:
        """What terms of the user's own call y."""
        return self.y


@register
class Circle(AdversarialModel):
    """GAN-CIRCLE as a trainable model: ``compile`` with two optimisers, then ``fit``.

    A batch of the dataset is (x, y), all pairs, or (x, y, paired), where paired (B,) is 1 for a
    pair and 0 for images of different subjects. A sample that is no pair has no supervised term,
    and its sparsifying term is of G(y) instead of G(x).

    Args:
        generator: G, maps low-resolution images to high-resolution ones.
        degrader: F, maps high-resolution images to low-resolution ones.
        critic_y: D_Y, scores high-resolution images.
        critic_x: D_X, scores low-resolution images.
        objective: The weights of the terms, which are means over the whole batch; `build` gives the
            supervised one more where only some samples are pairs.
        seed: Decides dropout and the penalties' random numbers.
        fixed_degrader: F learns in a phase of its own, ``degrader``, or is known; all other phases
            train G and D_Y alone, and no pair is ever used.
    """

    NETWORKS = ("generator", "degrader", "critic_y", "critic_x")

    def __init__(
        self,
        generator: keras.Model,
        degrader: keras.Model,
        critic_y: keras.Model,
        critic_x: keras.Model,
        objective: CircleObjective | dict[str, Any] | None = None,
        seed: int = 0,
        fixed_degrader: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(("generator", "degrader"), ("critic_y", "critic_x"), seed, **kwargs)
        self.fixed_degrader = fixed_degrader
        self.generator = generator
        self.degrader = degrader
        self.critic_y = critic_y
        self.critic_x = critic_x
        self.objective = CircleObjective.model_validate(objective or {})
        self.terms = self._objective_terms()

    def _objective_terms(self) -> list[Term]:
        """Cycle, identity, sparsity, supervised and adversarial terms, and the user's own.

        Identity and supervised terms are those of an F that trains along with G.
        """
        weights = self.objective
        terms = [
            Term("cycle", weights.cycle, lambda i: losses.cycle(i.x, i.x_cycle, i.y, i.y_cycle)),
            Term(
                "identity",
                weights.identity,
                lambda i: losses.identity(i.x, i.x_same, i.y, i.y_same),
            ),
            Term("sparsity", weights.sparsity, self._sparsity),
            Term(
                "supervised",
                weights.supervised,
                lambda i: losses.supervised(i.x, i.x_fake, i.y, i.y_fake, i.paired),
            ),
        ]
        if self.fixed_degrader:
            terms = [term for term in terms if term.name in ("cycle", "sparsity")]
        if weights.adversarial:
            terms.append(Term("adversarial", weights.adversarial, self._adversarial))
        return terms + own_terms(weights.own)

    def step(self, data: tuple[tf.Tensor, ...]) -> Logs:
        """One step of the current phase on one batch; returns the loss terms."""
        x, y, *rest = data
        paired = rest[0] if rest else tf.ones(tf.shape(x)[:1])
        if self.phase == "degrader":
            return self._update_degrader(x, y)
        if self.phase == "content":
            if self.fixed_degrader:
                return self._update_generator_on_cycle(y)
            return self._update_generators_on_content(x, y, paired)
        if self.phase == "critic":
            return self._update_critics(self._translated(x, y, paired))
        images = self._translated(x, y, paired)
        logs = self._update_critics(images)  # the critics learn from the same images first
        variables = self._trained(self.generator_variables(), self.generator)
        loss, terms = weighted_sum(self.terms, self._with_cycles(images))
        norm = minimise(loss, variables, self.generator_optimizer)
        return {**logs, "generator_loss": loss, **terms, "generator_gradient_norm": norm}

    def _trained(self, both: list[keras.Variable], one: keras.Model) -> list[keras.Variable]:
        """The variables of both sides, or of the one that is trained while F is fixed."""
        return one.trainable_variables if self.fixed_degrader else both

    def _update_degrader(self, x: tf.Tensor, y: tf.Tensor) -> Logs:
        """F(y) to look like any x to D_X, and F to leave x alone; D_X first, in the same step."""
        x_fake, x_same = separate(self._apply(self.degrader, interleave(y, x), 1))
        loss, terms = self._critic_loss(self.critic_x, x, tf.stop_gradient(x_fake), 1)
        norm = minimise(loss, self.critic_x.trainable_variables, self.critic_optimizer)
        logs = {f"{name}_x": term for name, term in terms.items()}
        logs = {"critic_loss": loss, **logs, "critic_gradient_norm": norm}
        adversarial = losses.wasserstein_generator(self.critic_x(x_fake, training=True))
        identity = losses.absolute(x_same, x)
        weights = self.objective
        loss = ordered_sum([weights.adversarial * adversarial, weights.identity * identity])
        norm = minimise(loss, self.degrader.trainable_variables, self.generator_optimizer)
        logs |= {"adversarial": adversarial, "identity": identity}
        return {**logs, "generator_loss": loss, "generator_gradient_norm": norm}

    def _update_generator_on_cycle(self, y: tf.Tensor) -> Logs:
        """Minimise ||G(F(y)) - y||_1 alone: the warm-up of G while F is fixed."""
        x_fake = tf.stop_gradient(self._degraded(y, 1))
        loss = losses.absolute(self._apply(self.generator, x_fake, 0), y)
        norm = minimise(loss, self.generator.trainable_variables, self.generator_optimizer)
        return {"generator_loss": loss, "cycle": loss, "generator_gradient_norm": norm}

    def _translated(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Images:
        """G(x), G(y), F(y) and F(x), in one pass of each generator; G(x) and F(y) if F is fixed."""
        if self.fixed_degrader:
            x_fake = self._degraded(y, 1)
            return Images(x, y, paired, self._apply(self.generator, x, 0), x_fake)
        y_fake, y_same = separate(self._apply(self.generator, interleave(x, y), 0))
        x_fake, x_same = separate(self._apply(self.degrader, interleave(y, x), 1))
        return Images(x, y, paired, y_fake, x_fake, y_same, x_same)

    def _with_cycles(self, images: Images) -> Images:
        """The same with F(G(x)) and G(F(y))."""
        return images._replace(
            x_cycle=self._degraded(images.y_fake, 2),
            y_cycle=self._apply(self.generator, images.x_fake, 3),
        )

    def _update_critics(self, images: Images) -> Logs:
        """Minimise E[D(fake)] - E[D(real)] + lambda GP over D_Y and over D_X, in one step.

        While F is fixed there is nothing for D_X to judge.
        """
        y_fake, x_fake = tf.stop_gradient(images.y_fake), tf.stop_gradient(images.x_fake)
        loss, logs = self._critic_loss(self.critic_y, images.y, y_fake, 0)
        logs_x: Logs = {}
        if not self.fixed_degrader:
            loss_x, logs_x = self._critic_loss(self.critic_x, images.x, x_fake, 1)
            loss = ordered_sum([loss, loss_x])
        variables = self._trained(self.critic_variables(), self.critic_y)
        norm = minimise(loss, variables, self.critic_optimizer)
        logs |= {f"{name}_x": term for name, term in logs_x.items()}
        return {"critic_loss": loss, **logs, "critic_gradient_norm": norm}

    def _critic_loss(
        self, critic: keras.Model, real: tf.Tensor, fake: tf.Tensor, which: int
    ) -> tuple[tf.Tensor, Logs]:
        weights = self.objective
        # One pass over both halves: instance norm, like all else in the critic, mixes no samples.
        scores = critic(tf.concat([real, fake], axis=0), training=True)
        loss = distance = losses.wasserstein_critic(*tf.split(scores, 2))
        logs = {"wasserstein": -distance}
        if weights.gradient_penalty:
            draw = 2 * self.critic_optimizer.iterations + which
            alpha = replica_uniform(tf.shape(real)[0], self.seed, draw)
            penalty = losses.gradient_penalty(critic, real, fake, alpha, weights.penalty_norm)
            loss += weights.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        return loss, logs

    def _update_generators_on_content(self, x: tf.Tensor, y: tf.Tensor, paired: tf.Tensor) -> Logs:
        """Minimise L1 alone: of G(x) to y and F(y) to x, or of G(y) and F(x) where no pair is."""
        known = _each(paired)
        y_fake = self._apply(self.generator, tf.where(known, x, y), 0)
        x_fake = self._apply(self.degrader, tf.where(known, y, x), 1)
        loss = losses.supervised(x, x_fake, y, y_fake)
        norm = minimise(loss, self.generator_variables(), self.generator_optimizer)
        return {"generator_loss": loss, "supervised": loss, "generator_gradient_norm": norm}

    def _sparsity(self, images: Images) -> tf.Tensor:
        """The joint sparsifying transform of G(x), or of G(y) where x and y are no pair.

        G(F(y)) if F is fixed.
        """
        if self.fixed_degrader:
            return losses.joint_sparsity(images.y_cycle, images.y, self.objective.tau)
        sr = tf.where(_each(images.paired), images.y_fake, images.y_same)
        return losses.joint_sparsity(sr, images.y, self.objective.tau)

    def _adversarial(self, images: Images) -> tf.Tensor:
        """-E[D_Y(G(x))] - E[D_X(F(y))], the first alone if F is fixed."""
        of_g = losses.wasserstein_generator(self.critic_y(images.y_fake, training=True))
        if self.fixed_degrader:
            return of_g
        return of_g + losses.wasserstein_generator(self.critic_x(images.x_fake, training=True))

    def _degraded(self, images: tf.Tensor, number: int) -> tf.Tensor:
        """F of images in one of the passes of a step; a filter that is taught has decided."""
        if isinstance(self.degrader, LinearDegrader):
            return self.degrader(images, decided=True)
        return self._apply(self.degrader, images, number)

    def _apply(self, network: keras.Model, images: tf.Tensor, number: int) -> tf.Tensor:
        """One of the passes of a step; each drops other features."""
        rate = getattr(network, "dropout", 0.0)
        # In a generator of the user's own it may be a layer.
        if not (isinstance(rate, float) and rate):
            return network(images, training=True)
        return network(images, training=True, noise=self._noise(number))

    def _noise(self, number: int) -> tf.Tensor:
        """What decides the dropout of one of the passes of this step."""
        steps = self.generator_optimizer.iterations + self.critic_optimizer.iterations
        # Seeds are below 2^31, so that these numbers are never the penalties'.
        return tf.stack(
            [tf.constant(self.seed + 2**31, tf.int64), 4 * tf.cast(steps, tf.int64) + number]
        )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, networks included."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.NETWORKS
        }
        return {
            "name": self.name,
            **networks,
            "objective": self.objective.model_dump(),
            "seed": self.seed,
            "fixed_degrader": self.fixed_degrader,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Circle":
        """The model of these arguments, not compiled."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in cls.NETWORKS
        }
        return cls(**{**config, **networks})


def build_generator(config: CircleConfig, policy: str, name: str = "generator") -> keras.Model:
    """G, or F, of a recipe under a Keras dtype policy: the paper's, or the user's own."""
    options = config.generator.model_dump()
    if function := options.pop("function"):
        return own_generator(function, policy, name)
    return CircleGenerator(**options, dtype=policy, name=name)


def build_degrader(
    config: CircleConfig, patch: tuple[int, int], policy: str, degradation: Degradation
) -> keras.Model:
    """F of a recipe: a network as G is, a filter to learn, or the degradation itself."""
    if config.degrader == "kspace":
        return KspaceDegrader(degradation, patch)
    if config.degrader == "linear":
        return LinearDegrader(patch)
    return build_generator(config, policy, "degrader")


def build(
    config: CircleConfig,
    patch: tuple[int, int],
    features: keras.Model | None,
    policy: str,
    degradation: Degradation | None = None,
) -> Circle:
    """A recipe's whole model, compiled.

    Args:
        config: The recipe.
        patch: Height and width of the training patches.
        features: None: there is no perceptual term.
        policy: Keras dtype policy of all networks.
        degradation: How the low-resolution images were made, for an F that is known.
    """
    generator = build_generator(config, policy)
    degrader = build_degrader(config, patch, policy, degradation or Degradation())
    critic_y, critic_x = (
        CircleCritic(config.critic.form, patch, dtype=policy, name=name)
        for name in ("critic_y", "critic_x")
    )
    objective = config.objective
    if share := config.paired_share():
        # A mean over the whole batch, in which pairs are only so frequent, becomes one over pairs.
        objective = objective.model_copy(update={"supervised": objective.supervised / share})
    model = Circle(
        generator,
        degrader,
        critic_y,
        critic_x,
        objective,
        seed=config.seed,
        fixed_degrader=config.fixed_degrader,
    )
    model.compile(make_optimizer(config, policy), make_optimizer(config, policy))
    return model


def interleave(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Two batches as one, sample by sample: first 0, second 0, first 1, second 1, ...

    A network then passes over both at once, and a replica's samples are consecutive among
    everyone's, which behind one another they would not be.

    Returns:
        (2 B, H, W, C) of two (B, H, W, C).
    """
    pairs = tf.stack([first, second], axis=1)
    return tf.reshape(pairs, tf.concat([[-1], tf.shape(first)[1:]], axis=0))


def separate(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The two batches that were interleaved."""
    return images[::2], images[1::2]


def to_even(images: tf.Tensor) -> tf.Tensor:
    """Repeat the last row and column of images whose sides are odd."""
    sides = tf.shape(images)[1:3] % 2
    after = tf.concat([[0], sides, [0]], axis=0)
    return tf.pad(images, tf.stack([tf.zeros_like(after), after], axis=1), "SYMMETRIC")


def _each(paired: tf.Tensor) -> tf.Tensor:
    """(B, 1, 1, 1) bool of (B,) numbers."""
    return (paired > 0)[:, None, None, None]
