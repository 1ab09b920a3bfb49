"""A private Prometheus, with Compose's configuration."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from lab import ROOT
from lab.stack.binaries import require
from lab.stack.daemon import Daemon
from lab.stack.process import Process

CONFIGURATION = ROOT / "compose" / "prometheus.yaml"
ALERTS = ROOT / "deploy" / "helm" / "authz-sidecar" / "monitoring" / "alerts.yaml"


class Prometheus(Daemon):
    """It scrapes the admin port at `target` (host:port) every second."""

    name = "prometheus"

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    def prepare(self) -> None:
        configuration = yaml.safe_load(CONFIGURATION.read_text())
        configuration["global"]["scrape_interval"] = "1s"
        configuration["rule_files"] = [str(ALERTS)]
        (job,) = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [self._target]}]
        (self.directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))

    def make_process(self) -> Process:
        argv = [
            require("prometheus"),
            f"--config.file={self.directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--enable-feature=exemplar-storage",
        ]
        return Process(argv, log_path=self.log_path)

    def ready(self) -> object:
        with urlopen(f"http://{self.address}/-/ready", timeout=1) as answer:
            return answer.status == 200

    def ask(self, api: str, **parameters: str) -> Any:
        """The `data` of an answer of its API. Raises `HTTPError` when it does not take the question."""
        url = f"http://{self.address}/api/v1/{api}?{urlencode(parameters)}"
        with urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
