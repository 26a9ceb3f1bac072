# docker build -t grap-seq . && docker run --rm -v "$PWD/out:/work" grap-seq demo
FROM python:3.11-slim
# LightGBM's OpenMP.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A CPU build of PyTorch; give another index for CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir torch==2.13.0 --index-url "$TORCH_INDEX" \
    && pip install --no-cache-dir --constraint constraints.txt .
RUN useradd --create-home user && mkdir /work && chown user /work
USER user
WORKDIR /work
ENTRYPOINT ["grap-seq"]
CMD ["--help"]
