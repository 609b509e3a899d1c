# goalstream as one image: `goalstream worker`, `api`, `migrate`, `topics` and the rest of the command line.
# Runs as an ordinary user, also on a read-only root file system (give it a tmpfs on /tmp).
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag goalstream .

FROM python:3.13-slim-trixie AS build
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app
WORKDIR /src
# The dependencies first: they change more rarely than the code.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY migrations migrations
COPY schemas schemas
COPY goalstream goalstream
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable
# The bill of materials: every Python package with its version and hashes.
RUN uv export --quiet --frozen --no-dev --format cyclonedx1.5 --preview-features sbom-export --output-file /app/sbom.cdx.json

FROM python:3.13-slim-trixie
# Nothing is installed into a running container.
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp goalstream \
    && pip uninstall --yes --quiet --root-user-action=ignore pip \
    && rm -rf /usr/local/bin/pip /usr/local/lib/python3.13/ensurepip
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH
# Tries what was built, and leaves bytecode of the part of the standard library that it uses: the base image has none, and
# compiling takes half a second at every start.
RUN ["python", "-c", "import goalstream.api.server, goalstream.cli.program, goalstream.deliverer, goalstream.observability.otlp, goalstream.worker"]
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GOALSTREAM_HTTP_HOST=0.0.0.0 GOALSTREAM_HTTP_PORT=8646 GOALSTREAM_METRICS_PORT=8647
USER 10001
WORKDIR /tmp
EXPOSE 8646 8647
STOPSIGNAL SIGTERM
# Asks the port of a worker or deliverer, then that of the API: a container serves one of the two.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web\nask = lambda port: web.urlopen(f'http://127.0.0.1:{os.environ[port]}/livez', timeout=2)\ntry:\n    ask('GOALSTREAM_METRICS_PORT')\nexcept OSError:\n    ask('GOALSTREAM_HTTP_PORT')"]
ENTRYPOINT ["goalstream"]
CMD ["--help"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="goalstream" \
      org.opencontainers.image.description="Watches a CRM's Kafka topics and decides, once and correctly, that an enrolled contact has achieved a workflow's goal." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-trixie" \
      goalstream.sbom="/app/sbom.cdx.json"
