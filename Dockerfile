# syntax=docker/dockerfile:1
# Two images: `api` without torch, `worker` with torch as the registry (or TORCH_INDEX_URL) has it.
# Weights are in neither: the worker fetches them to the models' volume at its first start.

ARG BASE=python:3.11.14-slim-bookworm

FROM ${BASE} AS program
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# For the native kernel; what is shipped has no compiler.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++=4:12.2.0-3 \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dream
COPY requirements/base.txt /src/requirements/
RUN /opt/dream/bin/pip install --require-hashes -r /src/requirements/base.txt
COPY pyproject.toml setup.py README.md LICENSE NOTICE /src/
COPY api /src/api
COPY cli /src/cli
COPY dream_core /src/dream_core
COPY jobs /src/jobs
COPY worker /src/worker
# Without a compiler the install goes on; an image that dreams several times slower is none.
RUN /opt/dream/bin/pip install --no-deps --no-build-isolation --no-index /src \
 && test -f /opt/dream/lib/python3*/site-packages/dream_core/native/winograd.so

FROM program AS engine
# Another index has other files of the same version, so its hashes are not ours.
ARG TORCH_INDEX_URL=""
COPY requirements/torch.in requirements/torch.txt /src/requirements/
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      /opt/dream/bin/pip install --index-url "$TORCH_INDEX_URL" -r /src/requirements/torch.in; \
    else \
      /opt/dream/bin/pip install --require-hashes -r /src/requirements/torch.txt; \
    fi

FROM ${BASE} AS room
RUN groupadd --gid 10001 dream \
 && useradd --uid 10001 --gid dream --no-create-home --shell /usr/sbin/nologin dream \
 && install -d -o dream -g dream /data /models
ENV PATH=/opt/dream/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DREAM_DATA_DIR=/data DREAM_MODEL_DIR=/models
LABEL org.opencontainers.image.title="torch-inception" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
WORKDIR /tmp
VOLUME ["/data", "/models"]

FROM room AS worker
COPY --from=engine /opt/dream /opt/dream
USER 10001:10001
CMD ["python", "-P", "-m", "worker"]

FROM room AS api
COPY --from=program /opt/dream /opt/dream
USER 10001:10001
EXPOSE 8000
CMD ["python", "-P", "-m", "api"]
