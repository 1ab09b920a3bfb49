"""Follows the change log and publishes it to RabbitMQ until it is stopped."""

import logging
import signal
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from authz_changelog.publishing import broker, relay


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_: Any) -> None:
        if not settings.AUTHZ_CHANGELOG_AMQP_URL:
            raise CommandError(
                "AUTHZ_AMQP_URL is not set: the broker, as amqp://user:password@host:5672/vhost"
            )
        try:
            to = broker.parameters(settings.AUTHZ_CHANGELOG_AMQP_URL)
        except ValueError as error:
            raise CommandError(f"AUTHZ_AMQP_URL is {error}") from None
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # the relay says itself what failed
        stopping = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        relay.run(to, stopping)
