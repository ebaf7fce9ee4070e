"""SFTJobs as tests write them: one that is right, and edits by path."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]

ABSENT = object()
"""As the value of an edit: the field is taken away."""


def nova_lite_2_lora(edits: Mapping[str, Any] | None = None, /, *, name: str = "nova-lite-2-lora") -> Manifest:
    """The seed's job. `edits` maps paths below spec (`model.name`, `dataset.validation.0.uri`) to values."""
    manifest: Manifest = {
        "apiVersion": "sft-operator.dev/v1alpha1",
        "kind": "SFTJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"name": "nova-lite-2"},
            "method": "LoRA",
            "dataset": {
                "train": {"uri": "s3://acme-ml-team/train.jsonl"},
                "validation": [{"uri": "s3://acme-ml-team/val.jsonl"}],
            },
            "hyperparameters": {
                "maxSteps": 200,
                "validationEverySteps": 20,
                "learningRate": 1e-5,
                "globalBatchSize": 32,
                "warmupSteps": 15,
                "lora": {"alpha": 64},
            },
            "output": {"uri": "s3://acme-ml-team/sft/"},
            "sageMaker": {
                "region": "us-east-1",
                "roleARN": "arn:aws:iam::111122223333:role/ml-team-sft",
                "training": {"instanceType": "ml.p5.48xlarge", "instanceCount": 4},
            },
            "runPolicy": {"maxRuntime": "120h"},
        },
    }
    return edited(manifest, edits or {})


def edited(manifest: Manifest, edits: Mapping[str, Any]) -> Manifest:
    """A copy of the manifest with values at paths below spec set, or taken away with ABSENT; missing parents appear."""
    result = copy.deepcopy(manifest)
    for path, value in edits.items():
        *parents, last = path.split(".")
        node: Any = result["spec"]
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        key: Any = int(last) if isinstance(node, list) else last
        if value is not ABSENT:
            node[key] = copy.deepcopy(value)
        elif isinstance(node, list) or key in node:
            del node[key]
    return result
