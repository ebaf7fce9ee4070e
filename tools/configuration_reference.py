"""docs/configuration.md, from the settings model."""

from __future__ import annotations

from sft_operator.controller.settings import Settings


def page(notice: str) -> str:
    rows = []
    for name, setting in Settings.model_fields.items():
        default = "**required**" if setting.is_required() else f"`{setting.default}`"
        rows.append(f"| `SFT_{name.upper()}` | `{name}` | {default} | {setting.description} |")
    return (
        f"# Configuration\n\n<!-- {notice} -->\n\n"
        "Each setting is an environment variable, or a key in the YAML file that `SFT_CONFIG` names; the variable wins. "
        "Times are in seconds, rates in calls per second for each AWS account and region.\n\n"
        "| variable | key | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "## AWS\n\nCredentials, region and endpoints come from boto3's own chain: the variables of IRSA "
        "(`AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`), of EKS Pod Identity (`AWS_CONTAINER_CREDENTIALS_FULL_URI`, "
        "`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`), access keys, profiles, `AWS_ENDPOINT_URL`. `AWS_REGION` (which EKS "
        "sets) and `AWS_DEFAULT_REGION` are both honoured; a job's own region is in its spec.\n\n"
        "## Kubernetes\n\nIn a pod the ServiceAccount's token is used, elsewhere `KUBECONFIG`.\n"
    )
