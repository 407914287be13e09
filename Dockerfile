# The lab for strangers, on the CPU: docker build -t consistency-lab . && docker run --rm -p 8501:8501 consistency-lab
# docs/deployment.md says what fits in how much memory, and what stands in front of it.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    MALLOC_ARENA_MAX=2

RUN useradd --create-home --uid 1000 lab
WORKDIR /home/lab/app

# What changes seldom comes first: an edit of the code does not install torch again.
COPY constraints.txt ./
COPY deploy/requirements.txt deploy/requirements.txt
RUN pip install --requirement deploy/requirements.txt --constraint constraints.txt

COPY .streamlit .streamlit
COPY assets assets
COPY cmcore cmcore
COPY app app
COPY streamlit_app.py hosted.py LICENSE ./

# The code belongs to root: who takes over the server cannot change what it runs.
USER 1000
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["python", "hosted.py", "--server.address=0.0.0.0", "--server.port=8501"]
