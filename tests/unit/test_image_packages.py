"""What the image's packages are pruned to serves every call that the source makes."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import botocore.session
import kubernetes
import pytest
from botocore.loaders import Loader

from sft_operator.aws.operations import CREDENTIALS, OPERATIONS
from tools.image.prune_packages import KUBERNETES_APIS, prune, services, unneeded_apis, unneeded_services

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "operator" / "sft_operator"
TABLE = SOURCE / "aws" / "operations.py"
SITE = Path(botocore.__file__).parents[1]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def calls() -> set[tuple[str, str]]:
    """(service, operation) of each call in the source whose arguments name one of botocore's and one of its own."""
    session = botocore.session.get_session()
    services = set(session.get_available_services())
    found = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            if words and words[0] in services:
                known = set(session.get_service_model(words[0]).operation_names)
                found |= {(words[0], word) for word in words[1:] if word in known}
    return found


def test_every_call_in_the_source_stands_in_the_table_of_operations() -> None:
    made = calls()
    assert {("sagemaker", "CreateTrainingJob"), ("s3", "GetObject"), ("sts", "GetCallerIdentity")} <= made
    table = {(service, name) for known in (OPERATIONS, CREDENTIALS) for service in known for name in known[service]}
    assert made - table == set(), "add them to sft_operator/aws/operations.py: the image keeps what stands there"


def test_every_service_that_is_named_as_an_argument_stands_there_too() -> None:
    named = {
        keyword.value.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "service" and isinstance(keyword.value, ast.Constant)
    }
    assert named <= OPERATIONS.keys()


def test_every_operation_of_the_table_is_called_by_somebody() -> None:
    table = {(service, name) for service, names in OPERATIONS.items() for name in names}
    assert table - calls() == set()


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that are pruned, as the image's build leaves them."""
    site = tmp_path_factory.mktemp("site")
    for place in (
        "botocore/data",
        "boto3/data",
        "boto3/examples",
        "kubernetes/client/api",
        "kubernetes/aio/client/api",
    ):
        if (SITE / place).exists():
            shutil.copytree(SITE / place, site / place, ignore=shutil.ignore_patterns("__pycache__"))
    prune(site, services(TABLE))
    return site


def test_what_is_left_of_botocore_loads_every_operation_in_every_partition(pruned: Path) -> None:
    session = botocore.session.Session()
    data = [str(pruned / "botocore/data"), str(pruned / "boto3/data")]
    session.register_component("data_loader", Loader(extra_search_paths=data, include_default_search_paths=False))
    mine = boto3.Session(botocore_session=session, aws_access_key_id="a", aws_secret_access_key="b")
    assert set(mine.get_available_services()) == OPERATIONS.keys() | CREDENTIALS.keys()
    for table in (OPERATIONS, CREDENTIALS):
        for service, operations in table.items():
            for region in ("us-east-1", "cn-north-1", "us-gov-west-1"):
                client = mine.client(service, region_name=region)
                assert client.meta.endpoint_url.startswith("https://")
            for operation in operations:
                assert client.meta.service_model.operation_model(operation).name == operation


def test_what_belongs_to_all_services_is_kept(pruned: Path) -> None:
    for name in ("endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json"):
        assert (pruned / "botocore" / "data" / name).exists()


def test_most_of_botocore_goes(pruned: Path) -> None:
    assert len(list((pruned / "botocore" / "data").iterdir())) < 15
    assert len(list((SITE / "botocore" / "data").iterdir())) > 300


def test_a_service_that_botocore_does_not_know_stops_the_build() -> None:
    with pytest.raises(SystemExit, match="botocore has no data of sagemakr"):
        list(unneeded_services(SITE, frozenset({"sagemakr"})))


def test_a_package_that_was_laid_out_anew_stops_the_build(tmp_path: Path) -> None:
    for place in ("botocore/data/s3", "boto3/data", "kubernetes/aio/client/api"):
        (tmp_path / place).mkdir(parents=True)
    for name in ("authentication_v1", "authorization_v1", "coordination_v1", "core_v1", "custom_objects"):
        (tmp_path / "kubernetes/aio/client/api" / f"{name}_api.py").touch()
    with pytest.raises(SystemExit, match="is not there; has the package moved it"):
        prune(tmp_path, frozenset({"s3"}))


def test_every_kubernetes_api_that_the_source_names_is_kept() -> None:
    named = {
        node.attr
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.endswith("Api") and hasattr(kubernetes.client, node.attr)
    }
    assert "CustomObjectsApi" in named
    assert named <= KUBERNETES_APIS, "add them to KUBERNETES_APIS in tools/image/prune_packages.py"
    assert len(list(unneeded_apis(SITE))) > 50


def test_the_source_uses_the_kubernetes_client_for_asyncio_only_because_the_other_is_pruned() -> None:
    for path, tree in trees():
        for node in ast.walk(tree):
            module = node.module if isinstance(node, ast.ImportFrom) and node.level == 0 else ""
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else [module or ""]
            for name in names:
                assert not name.startswith("kubernetes") or name.startswith("kubernetes.aio"), f"{path}: {name}"
