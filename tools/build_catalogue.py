"""Writes the generated tables of operator/sft_operator/recipes/data from a checkout of AWS's recipes repository.

    python tools/build_catalogue.py CHECKOUT [--commit 2631995 --date 2026-06-23]

CHECKOUT is a clone of aws/sagemaker-hyperpod-recipes (its `recipes_collection/recipes` and
`launcher/recipe_templatization`), or a folder with the same files under `fine-tuning/` and `spec/`. Values, types,
ranges and addresses are facts and are taken over; comments and layout of the originals are not. The output depends on
nothing but its input. Hand-kept tables (models.yaml, families.yaml) are never written here.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft_operator.api import yaml12

DATA = Path(__file__).resolve().parent.parent / "operator" / "sft_operator" / "recipes" / "data"
REPOSITORY = "https://github.com/aws/sagemaker-hyperpod-recipes"
NOVA_SFT = "fine-tuning/nova/**/SFT/*.yaml"
NOVA_TABLES = ("nova_lora_sft", "nova_lora_sft_2_0", "nova_sft", "nova_sft_2_0")
IMAGE = re.compile(
    r"(?:ecr://(?P<a>\d{12})/(?P<r>[a-z0-9-]+)|(?P<b>\d{12})\.dkr\.ecr\.(?P<q>[a-z0-9-]+)\.amazonaws\.com)"
    r"/(?P<repository>[^:]+):(?P<tag>.+)"
)
# Placed by the launcher, not by the template: the one tuning parameter without a {{placeholder}} in the template.
PLACED_BY_LAUNCHER = {"max_context_length": "training_config.max_length"}
# Who may run, where and on how many instances is not a range of a hyperparameter; counts are kept per recipe.
NOT_A_SETTING = {"namespace", "replicas"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--commit", default="2631995", help="commit of the checkout")
    parser.add_argument("--date", default="2026-06-23", help="date of that commit")
    arguments = parser.parse_args()
    source = {
        "repository": REPOSITORY,
        "commit": arguments.commit,
        "date": arguments.date,
        "licence": "Apache-2.0",
    }
    recipes, spec = _folders(arguments.checkout)
    metadata = _json(spec, "nova_metadata.json")
    templates = _json(spec, "nova_recipe_template_parameters.json")["templates"]
    regional = _json(spec, "nova_regional_parameters.json")
    files = sorted(recipes.glob(NOVA_SFT))
    rows = [_recipe(file, recipes, metadata, templates) for file in files]
    names = [file.stem for file in files]
    _write("nova-recipes.yaml", "the Nova SFT recipes: every key and value", source, {"recipes": rows})
    _write(
        "nova-parameters.yaml",
        "types and ranges of AWS's parameter tables, by path in the recipe",
        source,
        {"tables": {name: _table(templates[name]) for name in NOVA_TABLES}},
    )
    _write("nova-images.yaml", "training images by recipe and region", source, {"images": _images(regional, names)})


def _folders(checkout: Path) -> tuple[Path, Path]:
    for recipes, spec in (
        (checkout / "recipes_collection" / "recipes", checkout / "launcher" / "recipe_templatization"),
        (checkout, checkout / "spec"),
    ):
        if (recipes / "fine-tuning").is_dir() and spec.is_dir():
            return recipes, spec
    raise SystemExit(f"{checkout}: neither a clone of {REPOSITORY} nor a folder with fine-tuning/ and spec/")


def _json(spec: Path, name: str) -> dict[str, Any]:
    found = sorted(spec.rglob(name))
    if len(found) != 1:
        raise SystemExit(f"{spec}: {len(found)} files named {name} where one is expected")
    content: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    return content


def _recipe(file: Path, root: Path, metadata: dict[str, Any], templates: dict[str, Any]) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    about = metadata[file.stem]
    return {
        "name": file.relative_to(root).with_suffix("").as_posix(),
        "version": about["version"],
        "instance_types": about["instance_types"],
        "replicas": {"recipe": _stated_replicas(text, file), "table": _table_replicas(file.stem, templates)},
        "content": yaml12.load(text, source=str(file)),
    }


def _stated_replicas(text: str, file: Path) -> list[int]:
    """The counts that the recipe itself states beside `replicas`; only a remark there tells them."""
    stated = re.search(r"^\s*replicas:\s*\d+\s*#.*allowed values? (?:is|are)\s*(.*)$", text, re.MULTILINE)
    if stated is None:
        raise SystemExit(f"{file}: no allowed counts beside replicas")
    return [int(count) for count in re.findall(r"\d+", stated.group(1))]


def _table_replicas(name: str, templates: dict[str, Any]) -> list[int]:
    for table in NOVA_TABLES:
        replicas = templates[table]["recipe_override_parameters"]["replicas"]
        by_name = replicas["conditional_constraints"]["enum"]["Name"]
        if name in by_name:
            counts: list[int] = by_name[name]
            return counts
    raise SystemExit(f"{name}: no parameter table lists its instance counts")


def _table(template: dict[str, Any]) -> dict[str, Any]:
    placed = dict(_placeholders(template["recipe_template"], ""))
    parameters = template["recipe_override_parameters"]
    placed |= {path: name for name, path in PLACED_BY_LAUNCHER.items() if name in parameters}
    return {
        path: {"type": parameters[name]["type"]}
        | {ours: parameters[name][theirs] for ours, theirs in _RANGE if theirs in parameters[name]}
        for path, name in sorted(placed.items())
        if name not in NOT_A_SETTING
    }


_RANGE = (("minimum", "min"), ("maximum", "max"), ("allowed", "enum"))


def _placeholders(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _placeholders(value, f"{path}.{key}" if path else key)
    elif isinstance(node, str) and (match := re.fullmatch(r"\{\{(\w+)\}\}", node)):
        yield path, match.group(1)


def _images(regional: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """One row per image; recipes that share repository, tag and accounts share the row."""
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        addresses = regional[name]["sm_jobs"]["container_image"]["prod"]
        parsed = {region: _image(address, region) for region, address in sorted(addresses.items())}
        repositories = {(repository, tag) for _, repository, tag in parsed.values()}
        if len(repositories) != 1:
            raise SystemExit(f"{name}: its image differs by region: {sorted(repositories)}")
        repository, tag = repositories.pop()
        accounts = {region: account for region, (account, _, _) in parsed.items()}
        key = json.dumps([repository, tag, accounts])
        row = rows.setdefault(
            key,
            {
                "platform": "sageMaker.training",
                "repository": repository,
                "tag": tag,
                "accounts": accounts,
                "recipes": [],
            },
        )
        row["recipes"].append(name)
    return sorted(rows.values(), key=lambda row: (row["repository"], row["tag"]))


def _image(address: str, region: str) -> tuple[str, str, str]:
    match = IMAGE.fullmatch(address)
    if match is None or (match["r"] or match["q"]) != region:
        raise SystemExit(f"{address}: not an image address of {region}")
    return match["a"] or match["b"], match["repository"], match["tag"]


def _write(name: str, what: str, source: dict[str, str], content: dict[str, Any]) -> None:
    head = (
        f"# Generated by tools/build_catalogue.py: {what}.\n"
        f"# Facts of {source['repository']} at {source['commit']} ({source['date']}, {source['licence']}); "
        "change the tool, not this file.\n"
    )
    (DATA / name).write_text(head + yaml12.dump({"source": source} | content), encoding="utf-8")
    print(f"{name}: written")


if __name__ == "__main__":
    main()
