# The sidecar.
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 app
WORKDIR /app
# The packages first: a change of the code alone does not install them again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
    print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" >requirements.txt \
 && pip install --no-cache-dir -r requirements.txt -c constraints.txt
COPY README.md ./
COPY authz_sidecar/ authz_sidecar/
RUN pip install --no-cache-dir --no-deps .
USER app
EXPOSE 8080 9901
ENTRYPOINT ["authz-sidecar"]
CMD ["run"]
