"""User models as projects have them: which can be watched, and which cannot."""

from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser, AbstractUser, Group, PermissionsMixin
from django.db import models


class Active:
    is_active = property(lambda self: self.left_at is None)


class Base(AbstractUser):
    """Each has its own reverse names: they live in one project."""

    groups = models.ManyToManyField("auth.Group", related_name="%(class)s_set")
    user_permissions = models.ManyToManyField("auth.Permission", related_name="%(class)s_set")

    class Meta:
        abstract = True


class Plain(Base):
    pass


class Renamed(Base):
    is_active = models.BooleanField(default=True, db_column="enabled")


class AlwaysActive(AbstractBaseUser, PermissionsMixin):
    USERNAME_FIELD = "name"
    name = models.CharField(max_length=50, unique=True)
    groups = models.ManyToManyField("auth.Group", related_name="+")
    user_permissions = models.ManyToManyField("auth.Permission", related_name="+")


class SamePlain(Plain):
    class Meta:
        proxy = True


class Property(Base):
    left_at = models.DateTimeField(null=True)

    @property
    def is_active(self):
        return self.left_at is None


class Mixed(Active, Base):
    left_at = models.DateTimeField(null=True)


class Overridden(Plain):
    """A proxy: the column is there, and Python says something else."""

    class Meta:
        proxy = True

    @property
    def is_superuser(self):
        return self.username == "root"


class Instant(Base):
    is_active = models.DateTimeField(null=True)


class Unknown(Base):
    is_superuser = models.BooleanField(null=True)


class Nobody(AlwaysActive):
    is_active = False

    class Meta:
        proxy = True


class Child(Plain):
    nickname = models.CharField(max_length=50)


class WithoutMixin(AbstractBaseUser):
    USERNAME_FIELD = "name"
    name = models.CharField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False)


class Computed(Base):
    @property
    def groups(self):
        return Group.objects.none()


class ByName(AbstractUser):
    groups = models.ManyToManyField("auth.Group", through="Membership", related_name="+")
    user_permissions = models.ManyToManyField("auth.Permission", related_name="+")


class Membership(models.Model):
    member = models.ForeignKey(ByName, to_field="username", on_delete=models.CASCADE)
    group = models.ForeignKey("auth.Group", on_delete=models.CASCADE)


class Folded(models.CharField):
    """Writes small letters."""

    def get_prep_value(self, value):
        return super().get_prep_value(value).lower()


class Keyed(Base):
    id = models.UUIDField(primary_key=True, default=uuid4)


class Named(Base):
    """Each field that might be the subject."""

    number = models.BigIntegerField(unique=True)
    tag = models.UUIDField(unique=True)
    alone = models.SlugField()
    maybe = models.EmailField(unique=True, null=True)
    lower = models.CharField(max_length=50, unique=True, db_collation="NOCASE")
    folded = Folded(max_length=50, unique=True)
    joined = models.DateTimeField()
    long = models.CharField(max_length=300, unique=True)
    endless = models.TextField(unique=True)
    friend = models.OneToOneField("self", on_delete=models.CASCADE)
    some = models.CharField(max_length=50)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["alone"], name="alone"),
            models.UniqueConstraint(fields=["some"], condition=models.Q(is_active=True), name="some"),
        )


class Team(models.Model):
    """A group of the project's own."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    name = models.CharField(max_length=50)
    permissions = models.ManyToManyField("auth.Permission", related_name="+")


class Teamed(AbstractUser):
    groups = models.ManyToManyField(Team, related_name="members")
    user_permissions = models.ManyToManyField("auth.Permission", related_name="+")
