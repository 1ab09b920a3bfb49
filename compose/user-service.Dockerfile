# The User service and its relay.
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GUNICORN_CMD_ARGS="--bind=0.0.0.0:8000 --no-control-socket \
--worker-class=gthread --workers=2 --threads=4 --keep-alive=75 --worker-tmp-dir=/dev/shm"
# A new volume takes its owner from the directory it is mounted on.
RUN useradd --system --uid 10001 app && install -d -o app -m 700 /keys
WORKDIR /app
# Only the packages of this extra: the sidecar itself has no place in this image.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
    print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['user-service'], sep='\n')" \
    >requirements.txt \
 && pip install --no-cache-dir -r requirements.txt -c constraints.txt
COPY user_service/ ./
RUN python manage.py collectstatic --noinput
USER app
EXPOSE 8000
CMD ["gunicorn", "config.wsgi"]
