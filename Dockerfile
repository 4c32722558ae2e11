# CPU:   docker build -t loraql .
# CUDA:  docker build -t loraql --build-arg DEVICE=cu130 .
FROM python:3.11-slim

# Which build of torch: cpu, or a CUDA version as PyTorch names its builds.
ARG DEVICE=cpu

RUN useradd --create-home loraql && mkdir -p /srv/loraql/data/raw /srv/loraql/runs /cache && chown -R loraql /srv/loraql /cache
WORKDIR /opt/loraql
COPY pyproject.toml constraints.txt README.md ./
COPY pipeline pipeline
COPY prompts prompts
COPY eval eval
COPY data data
RUN python -m pip install --no-cache-dir --index-url "https://download.pytorch.org/whl/${DEVICE}" torch==2.13.0 \
    && python -m pip install --no-cache-dir -c constraints.txt ".[mysql,postgres,serve,vector]"

USER loraql
ENV LORAQL_CACHE=/cache HF_HOME=/cache/huggingface
WORKDIR /srv/loraql
VOLUME ["/srv/loraql/data/raw", "/srv/loraql/runs", "/cache"]
ENTRYPOINT ["loraql"]
CMD ["--help"]
