"""Follows the change log, publishes it to RabbitMQ, prunes and audits it, until it is stopped.

Without the setting AMQP_URL it only prunes and audits.
"""

import logging
import signal
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from authz_changelog import conf
from authz_changelog.publishing import broker, relay


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        url = conf.current().amqp_url
        try:
            to = broker.parameters(url) if url else None
        except ValueError as error:
            raise CommandError(f"AUTHZ_CHANGELOG['AMQP_URL'] is {error}") from None
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # the relay says itself what failed
        stopping = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        relay.run(to, stopping)
