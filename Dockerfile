# The operator's image: how it is built, checked and released is in docs/image.md.
#
# BASE takes a digest too, and a release gives one: --build-arg BASE=docker.io/library/python:3.13-slim-trixie@sha256:...
ARG BASE=docker.io/library/python:3.13-slim-trixie


FROM ${BASE} AS packages

COPY requirements/run.lock tools/image/prune_packages.py operator/sft_operator/aws/operations.py /build/

# Where packages come from is told by two optional secrets, which no layer keeps: pip.conf, and ca.pem for pip to trust.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem \
    set -eu; \
    export PIP_CONFIG_FILE=/run/secrets/pip.conf; \
    python -m venv --without-pip /opt/sft-operator; \
    python -m pip --python /opt/sft-operator/bin/python install \
        --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
        --no-deps --require-hashes --only-binary :all: --requirement /build/run.lock; \
    site=$(/opt/sft-operator/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    python -I /build/prune_packages.py "$site" /build/operations.py; \
    echo /opt/sft-operator/app > "$site/sft_operator.pth"; \
    find /opt/sft-operator/bin -type f -delete; \
    printf '%s\n' '#!/opt/sft-operator/bin/python' 'from sft_operator.cli.main import main' 'main()' > /opt/sft-operator/bin/sft; \
    chmod 755 /opt/sft-operator/bin/sft; \
    ln -s sft /opt/sft-operator/bin/kubectl-sft; \
    /opt/sft-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site"


FROM ${BASE} AS code

COPY operator/sft_operator /opt/sft-operator/app/sft_operator
# A read-only root file system has no place for bytecode: without this, each start would compile for seconds.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sft-operator/app


FROM ${BASE}

RUN --mount=type=bind,source=tools/image/remove_installers.py,target=/tmp/remove_installers.py \
    python -I -B /tmp/remove_installers.py

# What changes least comes first.
COPY --from=packages /opt/sft-operator /opt/sft-operator
COPY LICENSE /opt/sft-operator/LICENSE
COPY --from=code /opt/sft-operator/app /opt/sft-operator/app

ENV PATH=/opt/sft-operator/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/nonexistent \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

USER 65532:65532
WORKDIR /
ENTRYPOINT ["python", "-m", "sft_operator"]
# Kubernetes probes /healthz and /readyz; a check of the base's own would run beside them.
HEALTHCHECK NONE

ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="sft-operator" \
      org.opencontainers.image.description="Runs supervised fine-tuning of language models on Amazon SageMaker as a Kubernetes resource" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE}"
