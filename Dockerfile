# Two images out of one file. The mail daemon (the default):  docker build -t kinto-notify .
# A Kinto with our listener in it:                            docker build -t kinto-with-notify --target kinto .
# In the versions of requirements.lock, which were tested together. compose.yaml runs both, with Valkey.

FROM python:3.13-slim AS source
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src ./src
COPY systemd ./systemd
COPY config ./config

FROM source AS daemon-install
RUN python -m venv /opt/kinto-notify
RUN /opt/kinto-notify/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock '.[daemon,uvloop]'

FROM source AS kinto-install
RUN python -m venv /opt/kinto
RUN /opt/kinto/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock . 'kinto[postgresql]'

FROM python:3.13-slim AS kinto
COPY --from=kinto-install /opt/kinto /opt/kinto
COPY config/compose-kinto.ini /etc/kinto/kinto.ini
# The spool's parent: a volume that is mounted there for the first time takes over its owner.
RUN useradd --system --uid 10002 --no-create-home kinto && install -d -o kinto -m 700 /var/lib/kinto-notify
ENV PATH=/opt/kinto/bin:$PATH KINTO_INI=/etc/kinto/kinto.ini PYTHONUNBUFFERED=1
USER 10002
EXPOSE 8888
CMD ["kinto", "start", "--ini", "/etc/kinto/kinto.ini", "--port", "8888"]

FROM python:3.13-slim AS daemon
COPY --from=daemon-install /opt/kinto-notify /opt/kinto-notify
RUN useradd --system --uid 10001 --no-create-home kinto-notify
# Inside a container loopback is nobody's; health and metrics are seen by those networks that the container is in.
ENV PATH=/opt/kinto-notify/bin:$PATH PYTHONUNBUFFERED=1 KINTO_NOTIFY_WEB_BIND=0.0.0.0:9464
USER 10001
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["kinto-notify", "health"]
ENTRYPOINT ["kinto-notify"]
CMD ["run"]
