# goalstream as one image: `goalstream worker`, `api`, `migrate`, `topics` and the rest of the command line.
# Runs as an ordinary user, also on a read-only root file system (give it a tmpfs on /tmp).

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

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp goalstream
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GOALSTREAM_HTTP_HOST=0.0.0.0 GOALSTREAM_HTTP_PORT=8646 GOALSTREAM_METRICS_PORT=8647
USER 10001
WORKDIR /tmp
EXPOSE 8646 8647
# Asks the port of a worker, then that of the API: a container serves one of the two.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web\nask = lambda port: web.urlopen(f'http://127.0.0.1:{os.environ[port]}/livez', timeout=2)\ntry:\n    ask('GOALSTREAM_METRICS_PORT')\nexcept OSError:\n    ask('GOALSTREAM_HTTP_PORT')"]
ENTRYPOINT ["goalstream"]
CMD ["--help"]
