"""The `kata` command: hints, and a verdict at every save."""

from __future__ import annotations

import click

from dojo.house import House


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Learn asynchronous I/O by rebuilding it: `pytest katas/` shows where you are."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command()
@click.argument("step", required=False)
@click.option("--all", "everything", is_flag=True, help="Show all hints of the step at once.")
def hint(step: str | None, everything: bool) -> None:
    """Give a hint for STEP, or else for the next step of the last run; call again for more."""
    from dojo import hints

    house = House()
    try:
        kata, found = hints.find_step(house, step) if step else hints.next_step(house)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    hints.show(house, kata, found, everything)


@main.command()
@click.argument("kata", required=False)
def watch(kata: str | None) -> None:
    """Run the tests of KATA at every save; without KATA, those of whatever is saved."""
    from dojo import hints
    from dojo.watch import watch as watch_saves

    house = House()
    try:
        chosen = hints.find_step(house, kata)[0] if kata else None
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    watch_saves(house, chosen)
