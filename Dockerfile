# The operator's image, for any container engine; `hack/image` calls it with the build's name. Without an engine
# `hack/image` and `hack/yard load-image operator` make the same one. Both install the wheels of
# requirements/operator.txt, whose hashes pip checks, and both write nothing outside /tmp when they run.
#
# A tag moves: for a build that can be repeated pass the base by its digest, which only a registry can tell:
#   --build-arg BASE=python:3.13-slim-trixie@sha256:...
ARG BASE=python:3.13-slim-trixie
FROM ${BASE} AS dependencies
COPY requirements/operator.txt /tmp/operator.txt
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
    --target /app/dependencies -r /tmp/operator.txt && rm -rf /app/dependencies/bin

FROM ${BASE}
COPY --from=dependencies /app/dependencies /app/dependencies
COPY operator/trainyard /app/operator/trainyard
COPY hack/cluster/operator/trainyard-operator /usr/local/bin/trainyard-operator
# What the operator calls itself in every record; empty: the version. Two builds of one version need a name each, so that
# an upgrade from one to the other notices a gang that is only half created: --build-arg BUILD=$(git rev-parse --short HEAD)
ARG BUILD=
ENV PYTHONPATH=/app/operator:/app/dependencies \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    TRAINYARD_BUILD=${BUILD}
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["trainyard-operator"]
