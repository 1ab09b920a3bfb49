"""`manage.py seed_students`: sample students to try the service with."""

from argparse import ArgumentParser
from datetime import date, timedelta
from itertools import product
from typing import Any

from django.core.management.base import BaseCommand

from students.models import Student

GIVEN_NAMES = ("Ada", "Alan", "Barbara", "Edsger", "Grace", "Katherine", "Leslie", "Tim")
FAMILY_NAMES = ("Adeyemi", "Brandt", "Chen", "Dubois", "Fernandes", "Gupta", "Haddad", "Ito")
NAMES = tuple(product(FAMILY_NAMES, GIVEN_NAMES))
STATUSES = Student.Status.values


class Command(BaseCommand):
    help = "Add sample students. Students whose roll number is taken are left as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--count", type=int, default=20, help="how many students there are to be (20)")

    def handle(self, *, count: int, **options: Any) -> None:
        before = Student.objects.count()
        Student.objects.bulk_create((sample(number) for number in range(count)), 1000, ignore_conflicts=True)
        self.stdout.write(f"{Student.objects.count() - before} students added")


def sample(number: int) -> Student:
    """The same student for the same number, always."""
    family, given = NAMES[number * 9 % len(NAMES)]
    return Student(
        name=f"{given} {family}",
        roll_number=f"S{number + 1:05}",
        email=f"{given}.{family}.{number + 1}@students.example".lower(),
        date_of_birth=date(2000, 1, 1) + timedelta(days=number * 37 % 2500),
        status=STATUSES[number % len(STATUSES)],
    )
