"""Commands about finished models: models, export, card."""

from pathlib import Path

import click

from srmri_tf.cli.model import quiet_tensorflow
from srmri_tf.cli.opening import tell_opening
from srmri_tf.cli.paths import NAME, PATH


@click.command()
@click.argument("name", required=False)
@click.option("--recipe", is_flag=True, help="Print NAME's recipe as TOML, for `fit --recipe`.")
def models(name: str | None, recipe: bool) -> None:
    """List the models that come with the package, or print NAME's card."""
    from srmri_tf.models import card as cards

    if name is None and recipe:
        raise click.UsageError("--recipe needs the NAME of a model")
    if name is None:
        every = [cards.shipped_card(each) for each in cards.shipped_names()]
        click.echo(cards.listing(every), nl=False)
        return
    card = cards.shipped_card(name)
    if recipe:
        import tomli_w

        click.echo(tomli_w.dumps(card.recipe), nl=False)
    else:
        click.echo(cards.markdown(card), nl=False)


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
@click.option("-o", "--output", "out", type=PATH, required=True, help="NAME.toml.")
@click.option("--measured", type=PATH, help="An evaluation of RUN, or a whole cross-validation.")
@click.option("--title", required=True, help="What the model is, in a line.")
@click.option("--contrast", required=True, help="Of the scans, such as T2.")
@click.option("--data", required=True, help="Name of the data set.")
@click.option("--licence", required=True, help="Terms of the data.")
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


COMMANDS: tuple[click.Command, ...] = (models, export, card)
