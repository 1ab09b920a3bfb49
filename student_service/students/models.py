"""Student records."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone


def validate_not_in_future(value: date) -> None:
    if value > timezone.localdate():
        raise ValidationError("A date of birth cannot be in the future.")


class Student(models.Model):
    """One student."""

    class Status(models.TextChoices):
        APPLICANT = "applicant", "Applicant"
        ENROLLED = "enrolled", "Enrolled"
        SUSPENDED = "suspended", "Suspended"
        GRADUATED = "graduated", "Graduated"
        WITHDRAWN = "withdrawn", "Withdrawn"

    name = models.CharField(max_length=200)
    roll_number = models.CharField(max_length=32, unique=True)
    email = models.EmailField()
    date_of_birth = models.DateField(validators=[validate_not_in_future])
    status = models.CharField("enrolment status", max_length=16, choices=Status, default=Status.APPLICANT)
    photo = models.FileField("photo or document", upload_to="photos/", blank=True)

    class Meta:
        ordering = ("roll_number",)

    def __str__(self) -> str:
        return f"{self.roll_number} {self.name}"

    def replace_photo(self, photo: UploadedFile[Any] | None) -> None:
        """Store `photo` (or none) and then delete the file it replaces."""
        storage, replaced = self.photo.storage, self.photo.name
        self.photo = photo or ""
        self.save(update_fields=["photo"])
        if replaced:
            storage.delete(replaced)


@receiver(post_delete, sender=Student)
def delete_photo(instance: Student, **_: Any) -> None:
    """A deleted student leaves no personal file behind."""
    instance.photo.delete(save=False)
