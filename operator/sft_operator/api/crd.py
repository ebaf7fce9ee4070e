"""The CustomResourceDefinition, generated from the models: crds/*.yaml and the chart's template come from here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from . import rules
from .sftjob import PLATFORMS, SFTJobSpec
from .sftprofile import SFTProfileSpec
from .status import SFTJobStatus

GROUP = "sft-operator.dev"
VERSION = "v1alpha1"
KIND = "SFTJob"
PLURAL = "sftjobs"
PROFILE_KIND = "SFTProfile"
PROFILE_PLURAL = "sftprofiles"

Schema = dict[str, Any]

_KEPT = (
    "type", "description", "default", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "maxProperties",
)  # fmt: skip

_IMMUTABLE = (
    ("model",), ("method",), ("dataset", "train"), ("dataset", "validation"), ("hyperparameters",), ("recipe",),
    ("output",), *((platform,) for platform in PLATFORMS),
)  # fmt: skip
"""The run-defining fields, one transition rule each."""


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


COLUMNS = [
    _column("Model", ".spec.model['name','id']"),
    _column("Phase", ".status.phase"),
    _column("Reason", ".status.reason"),
    _column("Progress", ".status.progress.display"),
    _column("Loss", ".status.metrics.display"),
    _column("ETA", ".status.progress.eta"),
    _column("Age", ".metadata.creationTimestamp", "date"),
    _column("Platform", ".status.platform", wide=True),
    _column("Job", ".status.jobName", wide=True),
    _column("Instance-Hours", ".status.instanceHours", wide=True),
]

PROFILE_COLUMNS = [
    _column("Namespaces", ".spec.namespaces.names"),
    _column("Region", ".spec.defaults.sageMaker.region"),
    _column("Max-Runs", ".spec.maxConcurrentRuns", "integer"),
    _column("Paused", ".spec.pauseLaunches", "boolean"),
    _column("Age", ".metadata.creationTimestamp", "date"),
    _column("Role", ".spec.access.assumeRoleARN", wide=True),
]


def structural(model: type[BaseModel]) -> Schema:
    """The model's JSON schema as Kubernetes takes it.

    Pydantic's `anyOf null`, `$ref`, numeric `exclusiveMinimum`, `const` and `title` are rewritten; a union of types
    is an error, because a structural schema cannot say it.
    """
    document = model.model_json_schema(by_alias=True)
    return _rewrite(document, document.get("$defs", {}))


def _rewrite(node: Schema, definitions: Schema) -> Schema:
    node = _without_null(dict(node))
    if "$ref" in node:
        referred = definitions[node.pop("$ref").rsplit("/", 1)[1]]
        node = {**referred, **node}  # the field's own description and default win over the class's
    if "anyOf" in node:
        raise TypeError(f"a union cannot be written in a structural schema: {node}")
    result = {key: node[key] for key in _KEPT if key in node and not (key == "default" and node[key] is None)}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())  # a docstring brings its line breaks along
    result |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node:
            result |= {bound: node[exclusive], exclusive: True}
    if "properties" in node:
        result["properties"] = {name: _rewrite(value, definitions) for name, value in node["properties"].items()}
        if node.get("required"):
            result["required"] = node["required"]
    elif node.get("type") == "object":
        values = node.get("additionalProperties")
        if isinstance(values, dict):
            result["additionalProperties"] = _rewrite(values, definitions)
        else:
            result["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in node:
        result["items"] = _without_defaults(_rewrite(node["items"], definitions))
    if result.get("type") == "integer":
        result["format"] = "int64"
    return result


def _without_defaults(items: Schema) -> Schema:
    """`kubectl apply` and Argo CD compare lists of custom resources as a whole: a default filled into an element would
    show as a change at every apply. The models still know it."""
    properties = {name: _without_defaults(value) for name, value in items.get("properties", {}).items()}
    kept = {key: value for key, value in items.items() if key != "default"}
    return {**kept, "properties": properties} if properties else kept


def _without_null(node: Schema) -> Schema:
    branches = node.pop("anyOf", None)
    if branches is None:
        return node
    kept = [branch for branch in branches if branch.get("type") != "null"]
    return {**kept[0], **node} if len(kept) == 1 else {**node, "anyOf": branches}


def sftjob_crd() -> Schema:
    """The whole CRD of SFTJob, ready to be written as YAML."""
    spec = structural(SFTJobSpec)
    spec["x-kubernetes-validations"] += [
        *(rules.immutable_within_run(*path) for path in _IMMUTABLE),
    ]
    spec["properties"]["runPolicy"]["default"] = {}
    schema = _resource(
        KIND,
        "SFTJob is one supervised fine-tuning of a language model: apply it, and the operator checks it, launches the "
        "training, follows it and writes the result into its status.",
        spec,
    )
    schema["properties"]["status"] = structural(SFTJobStatus)
    schema["x-kubernetes-validations"] = [rules.ENDS_STAY]
    return _crd(
        KIND, PLURAL, "sft", "Namespaced", schema, additionalPrinterColumns=COLUMNS, subresources={"status": {}}
    )


def sftprofile_crd() -> Schema:
    """The whole CRD of SFTProfile."""
    schema = _resource(
        PROFILE_KIND,
        "SFTProfile is a platform team's: what it gives to namespaces for their SFTJobs, and what it allows them. A job "
        "outside its profile is refused before anything is read.",
        structural(SFTProfileSpec),
    )
    return _crd(PROFILE_KIND, PROFILE_PLURAL, "sftp", "Cluster", schema, additionalPrinterColumns=PROFILE_COLUMNS)


def _resource(kind: str, description: str, spec: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    }


def _crd(kind: str, plural: str, short: str, scope: str, schema: Schema, **version: Any) -> Schema:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["ml"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **version,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
