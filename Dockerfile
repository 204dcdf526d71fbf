# Kasse as an image: every dependency at its locked version and checked by its hash, run by a user without rights.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/kasse
COPY requirements-server.lock .
RUN /opt/kasse/bin/pip install --require-hashes -r requirements-server.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/kasse/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home kasse && install -d -o kasse -g kasse -m 0700 /var/lib/kasse
COPY --from=build /opt/kasse /opt/kasse
ENV PATH=/opt/kasse/bin:$PATH PYTHONUNBUFFERED=1 \
    KASSE_HOST=0.0.0.0 KASSE_PORT=8080 KASSE_DATABASE=sqlite:////var/lib/kasse/kasse.db
USER kasse
WORKDIR /var/lib/kasse
VOLUME /var/lib/kasse
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['KASSE_PORT']}/health/ready\", timeout=4)"]
CMD ["kasse", "serve"]
