# docker build -t queuectl:local .
# docker run --rm -v "$PWD/queuectl-data:/data" queuectl:local status
#
# Database, job_logs/ and queuectl_config.json stand in /data. It runs as root so that any mounted folder can be
# written; with `--user "$(id -u):$(id -g)"` it runs, and its jobs run, as you.
FROM python:3.13-slim
COPY pyproject.toml README.md LICENSE /queuectl/
COPY src /queuectl/src
RUN pip install --no-cache-dir /queuectl && rm -r /queuectl
ENV QUEUECTL_DB_PATH=/data/queuectl.db
VOLUME /data
WORKDIR /data
ENTRYPOINT ["queuectl"]
CMD ["--help"]
