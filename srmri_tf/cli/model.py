"""Commands that train: fit, recipes, demo."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from data_prep.progress import MESSAGES
from srmri_tf.cli import process
from srmri_tf.cli.opening import tell_opening
from srmri_tf.cli.output import aligned
from srmri_tf.cli.paths import NAME, PATH


def quiet_tensorflow() -> None:
    """Import TensorFlow with its start-up chatter kept off the terminal.

    The chatter is written by C++ to file descriptor 2 whatever the log level, so that is where it
    is dropped; errors are Python exceptions and still show.
    """
    cores = os.cpu_count() or 2
    # Measured with two cores; every further one brings threads, which have stacks.
    process.need_address_space(2500 + 100 * (cores - 2), "TensorFlow")
    process.need_threads(2 * cores + 2)
    process.configure()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with process.without_keras_settings():
            import keras  # noqa: F401  # reads its settings
            import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # it takes many small graphs for one that is retraced
        tf.config.list_physical_devices()
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


@click.group()
def fit() -> None:
    """Train a network on prepared shards, or go on training it."""


class Devices(click.ParamType):
    """A number of devices, or ``cpu:N`` for so many parts of the processor."""

    name = "N|cpu:N"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str:
        """The number, or the text."""
        text = str(value)
        count = text.removeprefix("cpu:")
        if not (count.isdecimal() and int(count)):
            self.fail(f"{text!r} is neither a number of devices, such as 2, nor cpu:2", param, ctx)
        return int(text) if text == count else f"cpu:{int(count)}"


def setting_options(command: Callable) -> Callable:
    """Settings that have an option of their own, the same for one run and for all folds."""
    options = (
        click.option(
            "--init",
            type=NAME,
            metavar="MODEL",
            help="Begin with the weights of this trained model (fine-tuning).",
        ),
        click.option(
            "--epochs",
            type=int,
            help="Adversarial epochs; the learning rate's decay is scaled to them. A finished RUN "
            "is extended by a larger number.",
        ),
        click.option("--batch-size", type=int, help="Pairs per update, over all devices together."),
        click.option(
            "--seed", type=int, help="Seed of initial weights, data order and random numbers."
        ),
        click.option("--precision", help="float32, bfloat16, float16 or auto."),
        click.option(
            "--devices",
            type=Devices(),
            help="Use the first N devices only; cpu:N divides the processor into N.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def training_options(command: Callable) -> Callable:
    """What every model's fit takes."""
    options = (
        click.argument("shards", type=PATH),
        click.option("-o", "--output", "run", type=PATH, required=True, help="The RUN folder."),
        click.option(
            "--recipe",
            type=NAME,
            help="A name that `srmri-tf recipes` lists, or a TOML file; the paper's unless RUN has "
            "settings already.",
        ),
        setting_options,
        click.option("--fold", type=click.IntRange(0), help="Cross-validation fold to test on."),
        click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events (extra)."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any setting: schedule.learning_rate=2e-4.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@fit.command("cpce")
@training_options
@click.option(
    "--vgg-weights", type=NAME, help="VGG-19 weights: auto, imagenet or a file in Keras's layout."
)
def fit_cpce(**given: Any) -> None:
    """Train GAN-CPCE on SHARDS.

    The same command goes on with a RUN that was interrupted. Progress, and after each epoch PSNR
    and SSIM beside the low-resolution input's, go to stderr; log.csv in RUN has every term.
    """
    _fit("cpce", **given)


@fit.command("circle")
@training_options
@click.option("--mode", help="Pairs known: supervised (all), semi (some) or unsupervised (none).")
@click.option(
    "--paired-fraction", type=float, help="Share of slices with known pairs, in semi.  [0.5]"
)
def fit_circle(**given: Any) -> None:
    """Train GAN-CIRCLE on SHARDS.

    Unsupervised training takes low- and high-resolution images of different subjects; semi knows
    the pairs of some slices. The same command goes on with a RUN that was interrupted. Progress,
    and after each epoch PSNR and SSIM beside the low-resolution input's, go to stderr; log.csv in
    RUN has every term.
    """
    _fit("circle", **given)


def _fit(
    model: str,
    *,
    shards: Path,
    run: Path,
    recipe: str | None,
    devices: int | None,
    tensorboard: bool,
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Lay the options over the recipe and train."""
    overrides = read_overrides(settings)
    tell_opening(shards, run)
    from srmri_tf.models.resume import FINISHED, is_finished
    from srmri_tf.models.run import Run
    from srmri_tf.recipes import load_recipe

    overrides |= given_settings(given)
    existing = Run(run).config_file
    base = recipe or (str(existing) if existing.is_file() else f"paper-{model}")
    config = load_recipe(base, overrides, model)
    if is_finished(Run(run), config, shards):
        MESSAGES.info(f"{run}: {FINISHED}")
    else:
        quiet_tensorflow()
        from srmri_tf.training.fitting import fit as train

        train(config, shards, run, devices=devices, tensorboard=tensorboard)
    click.echo(f"run: {run}")


@click.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes that come with the package, or print NAME as TOML.

    `srmri-tf recipes fast-cpce > mine.toml` makes a file to change and to give to `fit --recipe`.
    """
    from data_prep.errors import ConfigError
    from srmri_tf.recipes import recipe_names, recipe_text

    known = recipe_names()
    if name is None:
        summaries = [recipe_text(each)[1].splitlines()[0].removeprefix("# ") for each in known]
        for line in aligned(zip(known, summaries, strict=True)):
            click.echo(line)
        return
    if name not in known:
        raise ConfigError(
            f"is no recipe of the package: {', '.join(known)}", path=name, remedy="Give one of them"
        )
    click.echo(recipe_text(name)[1], nl=False)


@click.command()
@click.option("-o", "--output", "out", type=PATH, required=True, help="Everything goes there.")
@click.option("--model", type=click.Choice(["cpce", "circle"]), default="cpce", show_default=True)
@click.option(
    "--vgg-weights",
    type=NAME,
    default="auto",
    help="VGG-19 weights: auto, imagenet or a file in Keras's layout.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Processes that prepare.",
)
def demo(out: Path, model: str, vgg_weights: str, workers: int) -> None:
    """Download three real scans, train a network on two, test on the third, export it."""
    tell_opening(out)
    quiet_tensorflow()
    from srmri_tf.experiments.demo import demo as run_demo

    run_demo(out, model, vgg_weights, workers)


def given_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Options of settings that were given, by the settings' dotted names."""
    found = {key: value for key, value in given.items() if value is not None}
    if "epochs" in found:
        found["schedule.epochs"] = found.pop("epochs")
    return found


def read_overrides(settings: tuple[str, ...]) -> dict[str, Any]:
    """What ``--set KEY=VALUE`` says, each value as TOML has it."""
    overrides = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set takes KEY=VALUE, got {setting!r}")
        if text.splitlines()[1:]:
            raise click.UsageError(f"--set takes one KEY=VALUE, got several lines: {setting!r}")
        try:
            overrides[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key] = text
    return overrides


COMMANDS: tuple[click.Command, ...] = (fit, recipes, demo)
