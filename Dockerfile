# Built in two stages: the second has neither uv nor a compiler, and runs as an account without rights.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/goalstream
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project
COPY goalstream goalstream
COPY migrations migrations
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home goalstream
COPY --from=build /opt/goalstream /opt/goalstream
ENV PATH=/opt/goalstream/bin:$PATH PYTHONUNBUFFERED=1 GOALSTREAM_HTTP_HOST=0.0.0.0
USER goalstream
WORKDIR /tmp
EXPOSE 8646 8647
# A worker answers on 8647, the API on 8646; the one-shot commands are gone before the first check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "import urllib.request as r\nfor port in (8647, 8646):\n    try:\n        r.urlopen(f'http://127.0.0.1:{port}/livez', timeout=2); break\n    except OSError as error: failed = error\nelse: raise SystemExit(str(failed))"]
ENTRYPOINT ["goalstream"]
CMD ["--help"]
