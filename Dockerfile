# The image of the relay; docs/install.md says how to run it with docs/compose.yaml. It contains the
# same as the archive for the GX: packages locked by hash, in plain Python, so that it is the same on
# every processor.
#
#   docker build -t mqtt-http-bridge .        podman build --format docker -t mqtt-http-bridge .
#
# Any base with python3 from 3.11 on, and pip or venv, will do: --build-arg BASE=...
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /source
COPY install.sh pyproject.toml config.yaml.example README.md LICENSE CHANGELOG.md ./
COPY docs docs
COPY service service
COPY mqtt_http_bridge mqtt_http_bridge
# Compiled here, because the container cannot write to its image; by hash, not by time of change,
# which a copy may alter.
RUN ./install.sh --bundle \
    && mkdir /release /data /data/outbox /config \
    && tar -xzf dist/mqtt-http-bridge.tar.gz --strip-components 1 --no-same-owner -C /release \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /release/lib \
    && chown -R 10001:10001 /data \
    && ln -s /data/outbox /config/outbox

FROM ${BASE}
LABEL org.opencontainers.image.title="mqtt-http-bridge" \
      org.opencontainers.image.description="Relays the solar chargers of Victron GX devices to an HTTP backend" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /release /opt/mqtt-http-bridge
COPY --from=build /config /config
COPY --from=build --chown=10001:10001 /data /data
RUN ln -s /opt/mqtt-http-bridge/service/mqtt-http-bridge /usr/local/bin/mqtt-http-bridge
ENV PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can see that this is not root.
USER 10001:10001
# The config is found here. Unless it sets another folder, the outbox is in the volume, through the
# link that was made above.
WORKDIR /config
VOLUME /data
STOPSIGNAL SIGTERM
# Checks that the threads make progress, and nothing else: a restart would not bring back a backend or
# a GX that is down.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD ["mqtt-http-bridge", "health", "--alive"]
ENTRYPOINT ["mqtt-http-bridge"]
CMD ["run"]
