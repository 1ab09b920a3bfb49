# The Student service, as any plain Django service.
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GUNICORN_CMD_ARGS="--bind=0.0.0.0:8000 --no-control-socket \
--worker-class=gthread --workers=2 --threads=4 --keep-alive=75 --worker-tmp-dir=/dev/shm"
# A new volume takes its owner from the directory it is mounted on.
RUN useradd --system --uid 10001 app && install -d -o app -m 700 /data
WORKDIR /app
COPY student_service/requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt
COPY student_service/ ./
USER app
EXPOSE 8000
CMD ["gunicorn", "config.wsgi"]
