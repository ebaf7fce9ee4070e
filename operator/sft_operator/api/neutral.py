"""Words of others as they may be shown: nothing in them that a terminal, a log or the eye of a reader would obey."""

from __future__ import annotations


def neutral(text: str) -> str:
    """`text` with a space for each line break, tab or odd space, and U+FFFD for every other character that does not
    print: controls and escape sequences, bidirectional and invisible marks, halves of surrogate pairs. As many
    characters as before, so that no bound is passed; a neutral text stays as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
