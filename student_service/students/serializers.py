"""Student records as JSON."""

from django.urls import reverse
from rest_framework import serializers

from students.models import Student


class StudentSerializer(serializers.ModelSerializer):
    photo = serializers.SerializerMethodField()

    class Meta:
        model = Student
        fields = ("id", "name", "roll_number", "email", "date_of_birth", "status", "photo")

    def get_photo(self, student: Student) -> str | None:
        """Path to download the photo from."""
        return reverse("student-photo", args=[student.pk]) if student.photo else None


class PhotoSerializer(serializers.ModelSerializer):
    photo = serializers.FileField()

    class Meta:
        model = Student
        fields = ("photo",)
