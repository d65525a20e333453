# The operator's image, for any container engine. `hack/yard load-image operator` makes the same one without an
# engine; both install the wheels of requirements/operator.txt, whose hashes pip checks.
FROM python:3.13-slim-trixie AS dependencies
COPY requirements/operator.txt /tmp/operator.txt
RUN python -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary=:all: \
    --target /app/dependencies -r /tmp/operator.txt

FROM python:3.13-slim-trixie
COPY --from=dependencies /app/dependencies /app/dependencies
COPY operator/trainyard /app/operator/trainyard
ENV PYTHONPATH=/app/operator:/app/dependencies \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["python3", "-m", "trainyard"]
