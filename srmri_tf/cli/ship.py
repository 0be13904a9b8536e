"""Commands about finished models: models, export, card."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srmri_tf.cli.model import quiet_tensorflow
from srmri_tf.cli.opening import tell_opening
from srmri_tf.cli.output import aligned, as_json, reporting
from srmri_tf.cli.paths import NAME, PATH

if TYPE_CHECKING:
    from srmri_tf.models.card import ModelCard, Score


@click.command()
@click.argument("name", required=False)
@click.option("--recipe", is_flag=True, help="Print NAME's recipe as TOML, for `fit --recipe`.")
@as_json
def models(name: str | None, recipe: bool, as_json: bool) -> None:
    """List the models that come with the package, or print NAME's card."""
    from srmri_tf.models import card as cards

    if name is None and recipe:
        raise click.UsageError("--recipe needs the NAME of a model")
    with reporting("models", as_json) as report:
        chosen = cards.shipped_names() if name is None else [name]
        found = [cards.shipped_card(each) for each in chosen]
        report.result["models"] = [card.model_dump(mode="json") for card in found]
        if name is None:
            for line in _listing(found):
                report.say(line)
        elif recipe:
            import tomli_w

            report.say(tomli_w.dumps(found[0].recipe).rstrip("\n"))
        else:
            report.say(cards.markdown(found[0]).rstrip("\n"))


@click.command()
@click.argument("model", type=NAME)
@click.option(
    "-o",
    "--output",
    "out",
    type=PATH,
    required=True,
    help="NAME.keras, NAME.onnx (extra), NAME.npz, or a folder for a SavedModel.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is already there.")
def export(model: str, out: Path, overwrite: bool) -> None:
    """Write MODEL for other programs: a SavedModel, Keras, ONNX or weights file.

    MODEL is a RUN, a shipped model's name, or what export wrote. The result is read back by a
    process without this package, and its pixels compared, before it takes its place.
    """
    tell_opening(model)
    quiet_tensorflow()
    from srmri_tf.models.exporting import export as write

    kind = {".keras": "Keras model", ".onnx": "ONNX model", ".npz": "weights"}
    click.echo(f"{kind.get(out.suffix, 'SavedModel')}: {write(model, out, overwrite)}")


@click.command()
@click.argument("run", type=PATH)
@click.argument("shards", type=PATH)
@click.option("-o", "--output", "out", type=PATH, required=True, help="The card, NAME.toml.")
@click.option(
    "--measured",
    type=PATH,
    help="An evaluation of RUN, or of its recipe on fewer subjects; or a whole cross-validation.",
)
@click.option("--title", required=True, help="What the model is, in a line.")
@click.option(
    "--contrast", required=True, help="Contrast of the training scans: T2, or 'FLAIR, T1, T2'."
)
@click.option("--data", required=True, help="Name of the training data.")
@click.option(
    "--measured-data", default="", help="Name of the test data, if not the training data."
)
@click.option("--licence", required=True, help="Licence of the data.")
@click.option("--attribution", required=True, help="Whom to name, and where the data are.")
def card(run: Path, shards: Path, out: Path, measured: Path | None, **about: str) -> None:
    """Write the model card of RUN, which was trained on SHARDS.

    Every figure is computed: what the network met in training from SHARDS, what it gains from the
    evaluation or cross-validation that --measured names.
    """
    from data_prep.errors import ConfigError

    if out.suffix != ".toml":
        raise ConfigError(
            "is no name for a card, which ends in .toml", path=out, remedy="Give -o NAME.toml"
        )
    quiet_tensorflow()
    from srmri_tf.experiments.model_card import About, make_card
    from srmri_tf.models.card import markdown

    made = make_card(run, shards, About(**about), out, measured)
    click.echo(markdown(made))
    click.echo(f"card: {out}")


def _listing(cards: "list[ModelCard]") -> list[str]:
    """A line for each model, below 80 columns, and what the columns mean."""
    if not cards:
        return ["No models come with this installation."]
    head = ("name", "contrast", "network", "PSNR gain, dB [95 %]", "SSIM gain", "n", "size")
    return [
        *aligned([head, *map(_row, cards)]),
        "",
        "Gains over the zero-filled scan: means over n subjects unseen in training.",
        "`srmri-tf models NAME` prints a card: data, their licence, limits, recipe.",
    ]


def _row(card: "ModelCard") -> tuple[str, ...]:
    from srmri_tf.models.card import weights_file

    size = f"{weights_file(card.name).stat().st_size / 1000:.0f} kB"
    measured = card.measured
    gains = ("-", "-", "-")
    if measured:
        psnr = _gain(measured.psnr)
        gains = (psnr, f"{measured.ssim.gain:+.4f}", str(measured.subjects))
    return (card.name, card.contrast, card.kind, *gains, size)


def _gain(score: "Score") -> str:
    interval = " [{:+.2f}, {:+.2f}]".format(*score.ci95) if score.ci95 else ""
    return f"{score.gain:+.2f}{interval}"


COMMANDS: tuple[click.Command, ...] = (models, export, card)
