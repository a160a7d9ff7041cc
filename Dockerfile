# One image; the command says which part it plays: scheduler, deploy, agent, worker.
#
# BASE needs Python 3.11 or newer with venv. Git is added where it is missing; HAProxy and a Redis come with the lock.
# Another base, for example one made on this machine: docker build --build-arg BASE=my-base .
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS environment
WORKDIR /opt/farmgate
COPY farm pyproject.toml requirements.lock requirements-dev.lock ./
RUN ./farm setup

FROM ${BASE}
RUN if ! command -v git >/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends ca-certificates git openssh-client \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && groupadd --gid 10001 farmgate \
    && useradd --uid 10001 --gid farmgate --home-dir /var/lib/farmgate --create-home --shell /usr/sbin/nologin farmgate
COPY --from=environment /opt/farmgate /opt/farmgate
COPY farmgate /opt/farmgate/farmgate
COPY scheduler /opt/farmgate/scheduler
COPY workers /opt/farmgate/workers
COPY agents /opt/farmgate/agents
COPY deploy /opt/farmgate/deploy
COPY compose/entrypoint /opt/farmgate/entrypoint
ENV PATH=/opt/farmgate/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FARMGATE_DATA=/var/lib/farmgate \
    FARMGATE_NODE_DATA=/var/lib/farmgate/node \
    FARMGATE_HOST=0.0.0.0
WORKDIR /var/lib/farmgate
USER farmgate
EXPOSE 8470
ENTRYPOINT ["/opt/farmgate/entrypoint"]
CMD ["--help"]
