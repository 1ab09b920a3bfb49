"""Routes of student records."""

from rest_framework.routers import SimpleRouter

from students.views import StudentViewSet

router = SimpleRouter(use_regex_path=False)
router.register("students", StudentViewSet, basename="student")

urlpatterns = router.urls
