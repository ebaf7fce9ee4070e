"""The chart's values: each is told in the README and bounded by the schema, and the operator's settings have one place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_operator.controller.settings import Settings

CHART = Path(__file__).resolve().parents[2] / "charts" / "sft-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
README = (CHART / "README.md").read_text()
ENVIRONMENT = (CHART / "templates" / "_environment.tpl").read_text()


def closed(schema: dict[str, Any], path: str = "") -> list[str]:
    """The places where unknown keys are refused."""
    here = [path or "/"] if schema.get("additionalProperties") is False else []
    inner = schema.get("properties", {}).items()
    return here + [place for name, one in inner for place in closed(one, f"{path}/{name}")]


def test_unknown_keys_are_refused_wherever_the_chart_knows_the_keys() -> None:
    sections = {f"/{name}" for name, value in yaml.safe_load((CHART / "values.yaml").read_text()).items()
                if isinstance(value, dict) and SCHEMA["properties"][name].get("properties")}  # fmt: skip
    assert {"/", "/config", "/image", "/networkPolicy", "/metrics", "/metrics/serviceMonitor"} <= set(closed(SCHEMA))
    assert sections <= set(closed(SCHEMA))


def test_every_value_has_a_line_with_its_meaning() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `.*?` \| (.*) \|$", README, re.MULTILINE)
    assert len(rows) > 40
    assert [name for name, meaning in rows if not meaning] == []


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_a_setting_is_set_by_a_value_of_its_own_or_under_config_never_both(setting: str) -> None:
    by_value = f"SFT_{setting.upper()}\n" in ENVIRONMENT or setting == "lease_namespace"
    assert by_value != (setting in SCHEMA["properties"]["config"]["properties"])
