"""The API of student records."""

from typing import Any, ClassVar

from django.conf import settings
from django.http import FileResponse, Http404
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from students.models import Student
from students.serializers import PhotoSerializer, StudentSerializer


class PayloadTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request body is too large."
    default_code = "payload_too_large"


class StudentViewSet(ModelViewSet):
    """Students: list, create, read, update and delete."""

    queryset = Student.objects.all()
    serializer_class = StudentSerializer
    lookup_value_converter = "int"
    filterset_fields: ClassVar = {
        "status": ["exact", "in"],
        "roll_number": ["exact"],
        "date_of_birth": ["exact", "gte", "lte"],
    }
    search_fields = ("name", "roll_number", "email")
    ordering_fields = ("id", "name", "roll_number", "email", "date_of_birth", "status")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a body that is too large before it is read: Django limits all bodies but files."""
        super().initial(request, *args, **kwargs)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_UPLOAD_BYTES:
            raise PayloadTooLarge

    @action(detail=True, serializer_class=PhotoSerializer, parser_classes=[MultiPartParser])
    def photo(self, request: Request, pk: int) -> FileResponse:
        """Download the photo or document of one student."""
        student = self.get_object()
        if not student.photo:
            raise Http404
        # As an attachment: a browser must not run what somebody uploaded.
        return FileResponse(student.photo.open("rb"), as_attachment=True)

    @photo.mapping.put
    def upload_photo(self, request: Request, pk: int) -> Response:
        """Upload a photo or document (multipart form field `photo`); it replaces the present one."""
        student = self.get_object()
        upload = self.get_serializer(data=request.data)
        upload.is_valid(raise_exception=True)
        student.replace_photo(upload.validated_data["photo"])
        return Response(StudentSerializer(student).data)

    @photo.mapping.delete
    def delete_photo(self, request: Request, pk: int) -> Response:
        """Delete the photo or document of one student."""
        self.get_object().replace_photo(None)
        return Response(status=status.HTTP_204_NO_CONTENT)
