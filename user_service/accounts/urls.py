"""Routes of the API of users, groups and permissions."""

from rest_framework.routers import DefaultRouter

from accounts.views.groups import GroupViewSet, PermissionViewSet
from accounts.views.users import UserViewSet

router = DefaultRouter()
router.register("users", UserViewSet)
router.register("groups", GroupViewSet)
router.register("permissions", PermissionViewSet)

urlpatterns = router.urls
