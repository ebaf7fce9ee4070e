"""Laying values over a recipe by path, purely; which paths a user may set at all is not decided here."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sft_operator.api.findings import Finding
from sft_operator.recipes.suggest import nearest

Path = tuple[str | int, ...]
MAX_OVERRIDES = 200


def parse(dotted: str) -> Path:
    """`run.name` -> ("run", "name"), for the paths in our own tables, whose keys hold no dot."""
    return tuple(dotted.split("."))


def dotted(path: Path) -> str:
    return ".".join(str(key) for key in path)


def get(content: Mapping[Any, Any], path: Path, default: Any = None) -> Any:
    """The value at `path`, or `default` where there is none."""
    node: Any = content
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return default
        node = node[key]
    return node


def has(content: Mapping[Any, Any], path: Path) -> bool:
    missing = object()
    return get(content, path, missing) is not missing


def set_at(content: dict[Any, Any], path: Path, value: Any) -> None:
    """Set `path` in place, making the maps on the way; a scalar in the way is replaced."""
    node = content
    for key in path[:-1]:
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    node[path[-1]] = value


def leaves(content: Mapping[Any, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is not a map, and every empty map, with its path."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def values(content: Any) -> int:
    """How many values stand in `content`, at any depth."""
    if not isinstance(content, Mapping | list):
        return 1
    return sum(values(item) for item in (content.values() if isinstance(content, Mapping) else content))


def merge(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """`over` laid over `base`: maps merge, lists and scalars replace. Neither argument changes or is shared."""
    result = {key: copy.deepcopy(value) for key, value in base.items()}
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else _plain(value)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return copy.deepcopy(value)


@dataclass(frozen=True, slots=True)
class Laid:
    """`content` with every acceptable value of an override laid over it, the paths set, and what was refused."""

    content: dict[Any, Any]
    paths: tuple[Path, ...]
    findings: tuple[Finding, ...]


def lay_over(base: Mapping[Any, Any], over: Mapping[Any, Any], *, field: str) -> Laid:
    """Merge an override that may only name what the recipe has.

    New keys are allowed below a map that the recipe leaves empty, and only there. `field` is where the override
    stands in the resource (`spec.recipe.overrides`); a refused path is left out of the content.
    """
    known = [dotted(path) for path, _ in _all_paths(base)]
    content: dict[Any, Any] = merge(base, {})
    paths: list[Path] = []
    findings: list[Finding] = []
    asked = list(leaves(over))
    if len(asked) > MAX_OVERRIDES:
        problem = (
            f"{len(asked)} values, more than the {MAX_OVERRIDES} that may be laid over a recipe; give a recipe instead"
        )
        return Laid(content, (), (Finding(field, problem),))
    for path, value in asked:
        wrong = _misplaced(base, path, value, known)
        if wrong:
            findings.append(Finding(f"{field}.{dotted(path)}", wrong))
        elif value != {}:
            set_at(content, path, _plain(value))
            paths.append(path)
    return Laid(content, tuple(paths), tuple(findings))


def _misplaced(base: Mapping[Any, Any], path: Path, value: Any, known: list[str]) -> str | None:
    """What is wrong with putting `value` at `path` of `base`; None when nothing is."""
    node: Any = base
    for depth, key in enumerate(path):
        if node == {} and depth:
            return None
        if not isinstance(node, Mapping):
            return f"the recipe has a value at {dotted(path[:depth])}, not a map; nothing can stand below it"
        if key not in node:
            return _unknown(path, known)
        node = node[key]
    if isinstance(node, Mapping) and not isinstance(value, Mapping):
        return f"the recipe has a map at {dotted(path)}; a single value cannot replace it, name the keys below it"
    if isinstance(value, Mapping) and not isinstance(node, Mapping):
        return f"the recipe has a single value at {dotted(path)}; a map cannot replace it"
    return None


def _unknown(path: Path, known: list[str]) -> str:
    asked = dotted(path)
    if asked in known:
        return f"the recipe has this path, but as nested maps; write {{{asked.replace('.', ': {')}: ...{'}' * asked.count('.')}}}"
    best = nearest(asked, known, most=1)
    last = [name for name in known if name.rpartition(".")[2] == str(path[-1])]
    suggestion = last[0] if len(last) == 1 else best[0] if best else None
    hint = f"; did you mean {suggestion}?" if suggestion else "; see the recipe's own keys"
    return f"the recipe has no such path{hint}"


def _all_paths(content: Mapping[Any, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in content.items():
        yield (*prefix, key), value
        if isinstance(value, Mapping):
            yield from _all_paths(value, (*prefix, key))
