"""What a training run is made of: frozen, validated settings. The defaults are the paper's."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Phase = Literal["degrader", "content", "critic", "adversarial"]
ValidationFold = Literal["next", "none"]
FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OwnTerms = dict[Annotated[str, Field(pattern=FUNCTION)], NonNegative]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Schedule(_Section):
    """How long each phase lasts, and the learning rate of every epoch.

    Args:
        epochs: Epochs of adversarial training.
        learning_rate: Rate of the first epochs.
        decay_from: Fraction of the warm-up's and of the adversarial epochs after which their rate
            falls linearly towards zero.
        warmup_epochs: Epochs of generator training on mean L1 alone, before anything else.
        warmup_learning_rate: The rate of those.
        warmup_batch_size: Pairs per update of those; 0 takes the run's ``batch_size``. More updates
            on fewer pairs teach L1 more for the same arithmetic.
        critic_epochs: Epochs of critic training alone, after the warm-up.
        steps_per_epoch: End an epoch after so many steps; 0 is one pass over the data. An epoch of
            a warm-up of smaller batches has so many more steps.
    """

    epochs: int = Field(100, ge=0)
    learning_rate: Positive = 1e-4
    decay_from: float = Field(0.5, ge=0, le=1)
    warmup_epochs: int = Field(0, ge=0)
    warmup_learning_rate: Positive = 1e-3
    warmup_batch_size: int = Field(0, ge=0)
    critic_epochs: int = Field(0, ge=0)
    steps_per_epoch: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _some_epochs(self) -> "Schedule":
        if self.total == 0:
            raise ValueError("the schedule has no epochs at all")
        return self

    @property
    def total(self) -> int:
        """Epochs of all phases together."""
        return self.degrader_phase + self.warmup_epochs + self.critic_epochs + self.epochs

    @property
    def degrader_phase(self) -> int:
        """Epochs of GAN-CIRCLE's F alone, before all others."""
        return 0

    @property
    def critics_rest(self) -> int:
        """Epochs at the beginning that leave the critics as they are."""
        return 0 if self.degrader_phase else self.warmup_epochs

    def phases(self) -> tuple[tuple[Phase, range], ...]:
        """Every phase with its 0-based epochs of the whole run, which may be none."""
        warm = self.degrader_phase
        critic = warm + self.warmup_epochs
        adversarial = critic + self.critic_epochs
        return (
            ("degrader", range(warm)),
            ("content", range(warm, critic)),
            ("critic", range(critic, adversarial)),
            ("adversarial", range(adversarial, self.total)),
        )

    def phase(self, epoch: int) -> Phase:
        """The phase that the 0-based ``epoch`` of the whole run belongs to."""
        return next((p for p, epochs in self.phases() if epoch in epochs), "adversarial")

    def rate(self, epoch: int) -> float:
        """The learning rate of the 0-based ``epoch`` of the whole run.

        Source: the paper, section II.3: 1e-4 for 50 epochs, then linearly to zero over 50.

        Examples:
            >>> [round(Schedule(epochs=4, learning_rate=1e-4).rate(e) * 1e4, 2) for e in range(4)]
            [1.0, 1.0, 1.0, 0.5]
        """
        phase = self.phase(epoch)
        if phase == "degrader":
            return self.warmup_learning_rate * self._decay(epoch, self.degrader_phase)
        epoch -= self.degrader_phase
        if phase == "content":
            return self.warmup_learning_rate * self._decay(epoch, self.warmup_epochs)
        if phase == "critic":
            return self.learning_rate
        done = epoch - self.warmup_epochs - self.critic_epochs
        return self.learning_rate * self._decay(done, self.epochs)

    def _decay(self, done: int, epochs: int) -> float:
        """What is left of a phase's rate after ``done`` of its epochs."""
        start = self.decay_from * epochs
        if done < start or start == epochs:
            return 1.0
        return 1 - (done - start) / (epochs - start)


class Optimizer(_Section):
    """The optimisers' settings. The critics' is always Adam.

    Args:
        generators: The generators' optimiser: ``adam``, or ``muon`` for the kernels of hidden
            convolutions and Adam for their other weights, which learns L1 twice as fast
            (docs/measurements.md).
        beta_1: Adam's, of the mean of the gradients.
        beta_2: Adam's, of the mean of their squares.
        ema: Of an exponential moving average of the generators' weights over the steps. The
            averaged generator is what is measured and kept; 0 keeps none.
        weight_decay: Muon's kernels shrink by this times the rate at every step, so that their
            norm stays bounded however long a run is; 0 is none.
    """

    generators: Literal["adam", "muon"] = "adam"
    beta_1: float = Field(0.9, ge=0, lt=1)
    beta_2: float = Field(0.999, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    weight_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _muon_decays(self) -> "Optimizer":
        if self.weight_decay and self.generators != "muon":
            raise ValueError("optimizer.weight_decay is for optimizer.generators = 'muon'")
        return self


class CpceObjective(_Section):
    """Weights of the terms of GAN-CPCE's objective (docs/fidelity.md).

    Args:
        adversarial: Weight of -E[D(G(x))].
        perceptual: Weight of the VGG-19 loss, the paper's lambda_p.
        perceptual_share: Estimate that loss on this part of each batch; 1 takes all of it.
        l1: Weight of the per-pixel mean absolute error.
        l2: Weight of the per-pixel mean squared error.
        gradient_penalty: Weight of the penalty in the critic's loss.
        penalty_norm: ``sample``, or ``row`` as in the released code of [23].
        n_critic: Critic updates per generator update.
        vgg_layer: The layer phi of VGG-19, taken after its ReLU.
        own: Weights of terms of the user's own, by ``package.module:function``.
    """

    adversarial: NonNegative = 1.0
    perceptual: NonNegative = 0.1
    perceptual_share: float = Field(1.0, gt=0, le=1)
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    gradient_penalty: NonNegative = 10.0
    penalty_norm: Literal["sample", "row"] = "sample"
    n_critic: int = Field(4, ge=1)
    vgg_layer: str = Field("block5_conv4", pattern=r"^block[1-5]_conv[1-4]$")
    own: OwnTerms = {}


class CpceGeneratorConfig(_Section):
    """Options of the GAN-CPCE generator.

    Args:
        shortcut: Add the input before the last ReLU.
        function: ``package.module:function`` that makes a generator of the user's own instead
            (docs/own-networks.md).
    """

    shortcut: bool = False
    function: Annotated[str, Field(pattern=FUNCTION)] | None = None


class Validation(_Section):
    """What is measured after every epoch.

    Args:
        max_slices: At most this many slices, evenly spaced; 0 takes them all.
        monitor: The measure that decides which epoch is kept; ``last`` keeps the last one: what a
            GAN is trained for is in neither measure, so that they favour its first epochs.
        fold: Of runs on one fold of the data: ``next`` validates on the fold after the tested one,
            ``none`` trains on that one, too, for data of few subjects.
    """

    max_slices: int = Field(0, ge=0)
    monitor: Literal["psnr", "ssim", "last"] = "psnr"
    fold: ValidationFold = "next"


class Augmentation(_Section):
    """How training pairs are changed at random.

    Args:
        flips: Mirror training pairs at random along both axes.
        transposes: Exchange rows and columns of training pairs at random.
    """

    flips: bool = False
    transposes: bool = False


class TrainConfig(Augmentation):
    """What every run has, whatever its model; and how its training pairs are changed.

    Args:
        model: Which model; decides the sections that follow.
        batch_size: Pairs per update, over all devices together.
        seed: Decides initial weights, data order and the steps' random numbers.
        precision: ``auto`` is bfloat16 where the processor multiplies it natively, else float32.
        xla: Have XLA compile the gradients. On a GPU it may halve the time of a step, after a
            minute or more of compiling; on a processor it loses (docs/training.md).
        vgg_weights: ``auto``, ``imagenet`` or a file in Keras's layout.
        fold: Test on this fold of shards prepared with folds, validate on the next (or none:
            ``validation.fold``), train on the rest; None takes the split they were prepared with.
        init: Begin with the weights of this MODEL: a shipped name, a RUN or an exported file.
    """

    model: str
    batch_size: int = Field(128, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Precision = "float32"
    xla: bool = False
    vgg_weights: str = "auto"
    fold: int | None = Field(None, ge=0)
    init: str | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    validation: Validation = Validation()

    @property
    def augmentation(self) -> Augmentation:
        """How its training pairs are changed, alone."""
        return Augmentation(**{name: getattr(self, name) for name in Augmentation.model_fields})

    def pairs_per_step(self, phase: Phase) -> int:
        """How many pairs one call of ``train_step`` takes."""
        if phase == "content":
            return self.schedule.warmup_batch_size or self.batch_size
        return self.batch_size

    def steps_per_epoch(self, phase: Phase) -> int:
        """At most so many steps an epoch has; 0 is one pass over the data."""
        steps = self.schedule.steps_per_epoch
        if phase == "content" and steps:
            return max(1, steps * self.batch_size // self.pairs_per_step(phase))
        return steps

    def vgg_layer(self) -> str | None:
        """The VGG-19 layer that the objective needs, or None."""
        return None

    def paired_share(self) -> float:
        """The fraction of the training data whose LR and HR images are known to belong together."""
        return 1.0

    def min_patch(self) -> int:
        """The smallest side of training patches that the networks can be built for."""
        return 1


class CpceConfig(TrainConfig):
    """A whole GAN-CPCE run."""

    model: Literal["cpce"] = "cpce"
    generator: CpceGeneratorConfig = CpceGeneratorConfig()
    objective: CpceObjective = CpceObjective()

    def pairs_per_step(self, phase: Phase) -> int:
        """A batch for each critic update of a step."""
        pairs = super().pairs_per_step(phase)
        return pairs if phase == "content" else self.objective.n_critic * pairs

    def vgg_layer(self) -> str | None:
        """The layer of the perceptual term, if it has a weight."""
        return self.objective.vgg_layer if self.objective.perceptual else None

    def min_patch(self) -> int:
        """What valid padding, and VGG-19's poolings before its layer, leave something of."""
        block = re.match(r"block(\d)_", self.vgg_layer() or "")
        return max(9, 2 ** (int(block[1]) - 1)) if block else 9


class CircleObjective(_Section):
    """Weights of the terms of GAN-CIRCLE's objective.

    Cycle, identity and supervised terms are L1 norms, and the sparsifying one total variation: sums
    over each image, averaged over the batch.

    Args:
        adversarial: Weight of -E[D_Y(G(x))] - E[D_X(F(y))].
        cycle: The paper's lambda_1.
        identity: The paper's lambda_2.
        sparsity: The paper's lambda_3, of the joint sparsifying transform.
        tau: Share of the image itself in that transform, the rest being the residual's.
        supervised: Weight of the paired L1, a mean over the pairs that are known; 0 is the equation
            as the paper prints it.
        gradient_penalty: Weight of the penalty in both critics' losses.
        penalty_norm: ``sample``, or ``row`` as for GAN-CPCE.
        own: Weights of terms of the user's own, by ``package.module:function``.
    """

    adversarial: NonNegative = 1.0
    cycle: NonNegative = 1.0
    identity: NonNegative = 0.5
    sparsity: NonNegative = 0.001
    tau: float = Field(0.1, ge=0, le=1)
    supervised: NonNegative = 1.0
    gradient_penalty: NonNegative = 10.0
    penalty_norm: Literal["sample", "row"] = "sample"
    own: OwnTerms = {}


class CircleGeneratorConfig(_Section):
    """Options of both GAN-CIRCLE generators.

    Args:
        widths: ``paper`` falls from 64 to 16 filters, ``released`` from 128 to 16 as in the
            released code of [26].
        first_stride: 2 works at half the size inside; 1 at the full size.
        dropout: Fraction of features dropped in training; 0 turns it off.
        function: ``package.module:function`` that makes both generators instead.
    """

    widths: Literal["paper", "released"] = "paper"
    first_stride: Literal[1, 2] = 2
    dropout: float = Field(0.2, ge=0, lt=1)
    function: Annotated[str, Field(pattern=FUNCTION)] | None = None


class CircleCriticConfig(_Section):
    """Options of both GAN-CIRCLE critics.

    Args:
        form: ``eight_conv``, ``four_stage``, ``patchgan`` (that of the released code of [26]), or
            ``local``, which sees 7x7 pixels at a time: it judges resolution, not anatomy.
    """

    form: Literal["eight_conv", "four_stage", "patchgan", "local"] = "eight_conv"


class CircleOptimizer(Optimizer):
    """The same, with the decay rates of [26]."""

    beta_1: float = Field(0.5, ge=0, lt=1)
    beta_2: float = Field(0.9, ge=0, lt=1)


class CircleSchedule(Schedule):
    """GAN-CIRCLE's, which may begin with F.

    Args:
        degrader_epochs: Epochs of F and D_X alone, at the warm-up's rate; F then stays as it is.
    """

    degrader_epochs: int = Field(0, ge=0)

    @property
    def degrader_phase(self) -> int:
        """Epochs of F alone, before all others."""
        return self.degrader_epochs


class CircleConfig(TrainConfig):
    """A whole GAN-CIRCLE run.

    Args:
        mode: ``supervised`` knows every pair, ``unsupervised`` none: x and y are then of different
            subjects; ``semi`` knows those of some slices.
        paired_fraction: The fraction of slices whose pairs ``semi`` knows, 0.5 if not given.
        degrader: What F is: a ``network`` like G, a ``linear`` filter, which is learnt first and
            ``unsupervised``, or the known degradation itself (``kspace``), so that G and D_Y alone
            train.
    """

    model: Literal["circle"] = "circle"
    batch_size: int = Field(64, ge=1)
    mode: Literal["supervised", "semi", "unsupervised"] = "supervised"
    paired_fraction: float | None = Field(None, gt=0, lt=1)
    degrader: Literal["network", "linear", "kspace"] = "network"
    generator: CircleGeneratorConfig = CircleGeneratorConfig()
    critic: CircleCriticConfig = CircleCriticConfig()
    objective: CircleObjective = CircleObjective()
    optimizer: CircleOptimizer = CircleOptimizer()
    schedule: CircleSchedule = CircleSchedule()

    @model_validator(mode="after")
    def _settings_agree(self) -> "CircleConfig":
        if found := list(self._conflicts()):
            raise ValueError("\n".join(found))
        return self

    def _conflicts(self) -> Iterator[str]:
        """Settings that exclude each other, a sentence each."""
        taught = self.schedule.degrader_epochs
        if self.paired_fraction is not None and self.mode != "semi":
            yield f"paired_fraction is for mode = 'semi', not '{self.mode}'"
        if (taught or self.degrader == "linear") and self.mode != "unsupervised":
            yield f"F is learnt first only in mode = 'unsupervised', not '{self.mode}'"
        if self.degrader == "kspace" and taught:
            yield "degrader = 'kspace' is known: schedule.degrader_epochs must be 0"
        if self.degrader == "linear" and not taught:
            yield "degrader = 'linear' is learnt: give schedule.degrader_epochs"

    @property
    def fixed_degrader(self) -> bool:
        """Whether F is known, or learnt first, and G then trained against it as it is."""
        return self.degrader == "kspace" or self.schedule.degrader_epochs > 0

    def paired_share(self) -> float:
        """All, none, or the fraction given."""
        semi = 0.5 if self.paired_fraction is None else self.paired_fraction
        return {"supervised": 1.0, "semi": semi, "unsupervised": 0.0}[self.mode]

    def min_patch(self) -> int:
        """More than one pixel must be left to normalise after four halvings."""
        return 17


CONFIGS: Mapping[str, type[TrainConfig]] = {"cpce": CpceConfig, "circle": CircleConfig}
