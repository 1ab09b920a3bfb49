"""Student records in Django admin."""

from django.contrib import admin

from students.models import Student


@admin.register(Student)
class StudentAdmin(admin.ModelAdmin):
    list_display = ("roll_number", "name", "email", "date_of_birth", "status")
    list_filter = ("status",)
    search_fields = ("name", "roll_number", "email")
