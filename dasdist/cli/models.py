"""``dasdist models list``, ``show``, ``test`` and ``pack``."""

from pathlib import Path
from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import Commands, app, examples
from dasdist.cli.beforehand import check_folder
from dasdist.cli.voice import speaking
from dasdist.units import count_of

__all__ = ["find_models", "pack", "show", "try_model"]

models = typer.Typer(
    cls=Commands, no_args_is_help=True, help="List, show, test and pack models by their names."
)
app.add_typer(models, name="models")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The model, as --model of classify takes it.")
]
Version = Annotated[
    str | None, typer.Option("--version", help="Version of the weights. Default: the newest.")
]


@models.command(
    name="list",
    epilog=examples(
        "dasdist models list",
        "dasdist models list https://host/models",
        "DASDIST_MODELS='https://host/models /data/pack.zip' dasdist models list",
    ),
)
def find_models(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHERE]",
            help="A folder, a pack or a URL. Default: the repositories that DASDIST_MODELS names, "
            "SeisBench's cache, and what comes with dasdist.",
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """List the names of models."""
    with speaking("models list", as_json=as_json) as voice:
        from dasdist.api.listing import list_pretrained

        names = list_pretrained(where)
        for name in names:
            voice.say(name)
            voice.event("model", model=name)
        if not names:
            voice.say(f"There are no models in {where}.")
        voice.fact(models=len(names))


@models.command(
    epilog=examples(
        "dasdist models show demo",
        "dasdist models show https://host/models/phasenet/original --version 2",
    )
)
def show(name: Name, version: Version = None, as_json: opt.Json = False) -> None:
    """Show the card of a model: what it is, whose it is, and its default arguments."""
    with speaking("models show", as_json=as_json) as voice:
        from dasdist.api.card import card_of

        card = card_of(name, version)
        for fact, value in card.items():
            voice.say(f"{fact + ':':<14}{value}")
        voice.event("card", card=card)


@models.command(
    name="test",
    epilog=examples(
        "dasdist models test demo",
        "dasdist models test pack.zip/phasenet/original",
        "Exit codes: 0 the sample is reproduced in each form, 1 it is not.",
    ),
)
def try_model(name: Name, version: Version = None, as_json: opt.Json = False) -> None:
    """Let a model reproduce its sample on each device, in each form that it can be computed in.

    Of a model that keeps no sample, the forms are compared with the plain one on a CPU.
    """
    with speaking("models test", as_json=as_json) as voice:
        from dasdist.api.card import tried

        with voice.patience("Loading libraries ..."):
            kept, found = tried(name, version)
        if not kept:
            voice.say(f"{name} keeps no sample, so its forms are compared with the plain one.")
        for one in found:
            told = "reproduced" if one.reproduced else "NOT reproduced"
            voice.say(
                f"{one.device:<6}{one.form:<15}{told}, off by {one.difference:.1e} {one.note}"
            )
            voice.event(
                "outcome",
                device=one.device,
                form=one.form,
                reproduced=one.reproduced,
                difference=str(one.difference),
                note=one.note,
            )
        voice.fact(sample=kept, outcomes=len(found))
        if not all(one.reproduced for one in found):
            voice.end(1)


@models.command(
    epilog=examples(
        "dasdist models pack phasenet -o pack.zip",
        "dasdist models pack seisbench:PhaseNet/original models/mine/first -o pack.zip",
        "dasdist classify fibre.nc --model pack.zip/phasenet/original -o picks.parquet",
    )
)
def pack(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Models, or folders of them: phasenet stands for all of its weights.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The pack to write, a .zip file.")],
    as_json: opt.Json = False,
) -> None:
    """Put models into one file, for nodes without a network.

    Each has to reproduce its sample first, which is made if it keeps none.
    """
    with speaking("models pack", as_json=as_json) as voice:
        check_folder(out.parent)
        from dasdist.api.packing import pack as write

        with voice.patience("Loading libraries ..."):
            packed = write(names, out)
        for name in packed:
            voice.say(f"{out}/{name}")
        voice.say(f"{count_of(len(packed), 'model')} in {out}")
        voice.fact(out=str(out), models=packed)
