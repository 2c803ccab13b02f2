"""`doublet explain EVENT_ID`: the story of one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from doublet.cli.options import (
    AccountOption,
    AsJson,
    Data,
    PixelOption,
    SetOption,
    literal,
    open_catalog,
    out,
    own_pixel,
    read_kept_settings,
)
from doublet.errors import OperatorError

if TYPE_CHECKING:
    from doublet.explain import Story


def explain(
    event_id: Annotated[str, typer.Argument(help="The id, as it was sent.")],
    account: AccountOption = None,
    pixel: PixelOption = None,
    data: Data = None,
    as_json: AsJson = False,
    pairs: SetOption = None,
) -> None:
    """Tell what arrived of an event, what was done with it, and by which rule.

    Example: doublet explain order-1001
    """
    from doublet.ask import read_stories

    chosen = read_kept_settings(data, pairs)
    catalog = open_catalog(chosen)
    owner = catalog.account(account)
    stories = read_stories(chosen, owner, event_id, own_pixel(catalog, owner, pixel))
    if as_json:
        text = msgspec.json.Encoder(decimal_format="number").encode(stories)
        print(msgspec.json.format(text, indent=2).decode())
        return
    if not stories:
        raise OperatorError(
            f"No event of account {owner.account_id} has a copy with the id {event_id!r}.",
            "Ids are compared as they were sent, upper and lower case apart. `doublet refresh` "
            "takes in what has just been accepted; a refused request is in the table `refused`.",
        )
    for story in stories:
        _print_story(story)


def _print_story(story: Story) -> None:
    copies = "1 copy" if len(story.copies) == 1 else f"{len(story.copies)} copies"
    name = f"{story.event_name} {story.event_id or 'without an id'}"
    out.print(f"[bold]{literal(name)}[/bold], pixel {story.pixel_id}: {copies}, one event")
    for sentence in story.sentences:
        out.print(f"  {literal(sentence)}", soft_wrap=True)
