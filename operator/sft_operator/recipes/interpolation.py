"""Replaces the `${...}` references inside a recipe by what they point at; no other template language is known here.

The forms are those AWS's recipes use: `${a.b}` from the top, `${.b}` and `${..b}` from the map around it, and
`${oc.select:a.b,default}`, which tolerates a missing path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sft_operator.api import yaml12
from sft_operator.recipes.merge import Path, dotted

_REFERENCE: Final = re.compile(r"\$\{([^${}]*)\}")
_PATH: Final = re.compile(r"\.*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_SELECT: Final = "oc.select:"
_MAX_TEXT: Final = 16 * 1024
MAX_CHARACTERS: Final = 128 * 1024
"""Of all keys and texts, references replaced: ten times the largest recipe of AWS. A few thousand references to one long
text would make gigabytes of a small recipe."""
_MAX_CHAIN: Final = 32


class InterpolationError(ValueError):
    """A reference that cannot be replaced; `path` is where it stands in the recipe."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{dotted(path)}: {problem}")
        self.path = path
        self.problem = problem


def resolve(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """A copy of `content` without any reference left. Raises InterpolationError."""
    resolved: dict[Any, Any] = _Resolver(content).walk(content, ())
    return resolved


def is_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


class _Resolver:
    """One recipe; each reference is worked out once, however many point at it."""

    def __init__(self, root: Mapping[Any, Any]) -> None:
        self._root = root
        self._done: dict[Path, Any] = {}
        self._characters = 0

    def walk(self, node: Any, path: Path) -> Any:
        if isinstance(node, Mapping):
            for key in node:
                if is_reference(key):
                    raise InterpolationError((*path, key), "a key cannot be a reference")
                self._count(key)
            return {key: self.walk(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self.walk(value, (*path, index)) for index, value in enumerate(node)]
        value = self._value(node, path, ())
        self._count(value)
        return value

    def _count(self, text: Any) -> None:
        self._characters += len(text) if isinstance(text, str) else 1
        if self._characters > MAX_CHARACTERS:
            raise InterpolationError((), f"more than {MAX_CHARACTERS} characters in all, references replaced")

    def _value(self, value: Any, path: Path, chain: tuple[Path, ...]) -> Any:
        """What `value`, standing at `path`, is; `chain` is the way of references that led here."""
        if not is_reference(value):
            return value
        if path not in self._done:
            if path in chain:
                way = " -> ".join(dotted(step) for step in (*chain[chain.index(path) :], path))
                raise InterpolationError(path, f"the reference leads back to itself: {way}")
            if len(chain) >= _MAX_CHAIN:
                raise InterpolationError(path, f"a chain of more than {_MAX_CHAIN} references")
            self._done[path] = self._replaced(value, path, (*chain, path))
        return self._done[path]

    def _replaced(self, text: str, path: Path, chain: tuple[Path, ...]) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole:
            return self._referenced(whole.group(1), path, chain)
        replaced = ""
        if len(text) <= _MAX_TEXT:
            replaced = _REFERENCE.sub(lambda match: _text(self._referenced(match.group(1), path, chain)), text)
        if max(len(text), len(replaced)) > _MAX_TEXT:
            raise InterpolationError(path, f"a text with references is longer than {_MAX_TEXT} characters")
        if "${" in replaced:
            raise InterpolationError(path, f"{text!r} holds a reference that is not closed, or nested in another")
        return replaced

    def _referenced(self, expression: str, path: Path, chain: tuple[Path, ...]) -> Any:
        asked, default = expression, None
        select = expression.startswith(_SELECT)
        if select:
            asked, _, given = expression.removeprefix(_SELECT).partition(",")
            default = yaml12.plain(given.strip()) if len(given) < 100 else given
        asked = asked.strip()
        if not _PATH.fullmatch(asked):
            forms = "${a.b}, ${.b} and ${oc.select:a.b,default}"
            raise InterpolationError(path, f"${{{expression}}} is not understood; known are {forms}")
        target = _target(asked, path)
        found = self._look_up(target)
        if found is None:
            if select:
                return default
            problem = f"${{{expression}}} points at {dotted(target)}, which the recipe does not have"
            raise InterpolationError(path, problem)
        real, value = found
        if isinstance(value, Mapping | list):
            raise InterpolationError(
                path, f"${{{expression}}} points at a map or list; only single values can be taken"
            )
        return self._value(value, real, chain)

    def _look_up(self, target: Path) -> tuple[Path, Any] | None:
        """The value at `target`, with its path written as the recipe has it (positions and numeric keys as numbers)."""
        node: Any = self._root
        real: list[str | int] = []
        for key in target:
            number = int(key) if isinstance(key, str) and re.fullmatch(r"[0-9]{1,9}", key) else None
            if isinstance(node, Mapping) and key in node:
                real.append(key)
            elif number is not None and (
                (isinstance(node, Mapping) and number in node) or (isinstance(node, list) and number < len(node))
            ):
                real.append(number)
            else:
                return None
            node = node[real[-1]]
        return tuple(real), node


def _target(asked: str, path: Path) -> Path:
    """The absolute path that `asked`, standing at `path`, means: one leading dot is the map around it."""
    name = asked.lstrip(".")
    dots = len(asked) - len(name)
    base = path[: max(0, len(path) - dots)] if dots else ()
    return (*base, *name.split("."))


def _text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else str(value)
