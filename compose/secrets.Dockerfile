# Makes the credentials: see make_secrets.py.
FROM python:3.13-slim
# A new volume takes its owner from the directory it is mounted on.
RUN useradd --system --uid 10001 app \
 && install -d -o app /secrets/postgres /secrets/redis /secrets/rabbitmq \
      /secrets/user-service /secrets/user-service-setup /secrets/relay /secrets/student-service /secrets/sidecar
COPY compose/make_secrets.py compose/broker.json /
USER app
CMD ["python", "/make_secrets.py"]
