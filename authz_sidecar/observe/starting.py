"""The log's first lines: what starts, how, and what is doubtful about it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from authz_sidecar import __version__
from authz_sidecar.config import findings
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.table import Settings

logger = logging.getLogger(__name__)


def tell(settings: Settings, issuers: Sequence[Issuer], policy: str, *, compiled: bool) -> None:
    """`policy`: the digest of the one in force."""
    shadow = settings.mode == "shadow"
    fields = {
        "version": __version__,
        "compiled": compiled,
        "mode": settings.mode,
        "validation": settings.validation,
        "policy": policy,
        "listen": ",".join(map(str, settings.listen)),
        "admin_listen": ",".join(map(str, settings.admin.listen)),
        "decisions_listen": ",".join(map(str, settings.decisions.listen)),
        "upstream": str(settings.upstream),
        "user_service": settings.user_service.url,
        "issuers": [each.issuer for each in issuers],
    }
    level = logging.WARNING if shadow else logging.INFO
    message = "starting, in shadow mode: nothing is refused" if shadow else "starting"
    logger.log(level, message, extra={"fields": fields})
    for finding in (*findings.of_environment(os.environ), *findings.of_settings(settings, issuers)):
        logger.warning("%s", finding)
