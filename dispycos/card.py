"""Cards: what a notebook shows of a thing, as HTML beside its plain `repr`.

No script, no style sheet, and no colour of its own: a card takes those of the page it stands in,
light or dark, and looks the same in a notebook that was saved.

Pure. Layer 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispycos.wording import clip

MAX_TEXT = 400  # characters of one value: a card is looked at, not read

_BOX = "display:inline-block;border:1px solid currentColor;border-radius:4px;padding:0.3em 0.8em"
_CELL = "text-align:left;vertical-align:top;padding:0 1em 0 0;background:none"


def card(kind: str, state: str, facts: Iterable[tuple[str, str]]) -> str:
    """A box with what it is, its state, and a line for each fact. Everything is escaped."""
    lines = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL}">{_text(name)}</th>'
        f'<td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in facts
    )
    table = f'<table style="border:none;margin:0">{lines}</table>' if lines else ""
    return f'<div style="{_BOX}"><b>{_text(kind)}</b> {_text(state)}{table}</div>'


def line(kind: str, state: str, facts: Iterable[tuple[str, str]]) -> str:
    """The same as a `repr`."""
    return f"<{kind}: {', '.join([state, *(f'{name} {value}' for name, value in facts)])}>"


def _text(text: str) -> str:
    import html  # by those who are shown one: programs without a notebook never need it

    return html.escape(clip(text, MAX_TEXT, 10 * MAX_TEXT))
