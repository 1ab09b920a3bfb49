# The sidecar. What runs for each request is compiled: docs/decisions/0002-compiled.md
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The packages first: a change of the code alone does not install them again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
    print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" >requirements.txt \
 && pip install --no-cache-dir -c constraints.txt mypy setuptools -r requirements.txt
COPY setup.py README.md LICENSE ./
COPY authz_sidecar/ authz_sidecar/
RUN AUTHZ_COMPILE=1 pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 app
WORKDIR /app
COPY --from=build /build/requirements.txt /build/constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
USER app
EXPOSE 8080 9901
ENTRYPOINT ["authz-sidecar"]
CMD ["run"]
