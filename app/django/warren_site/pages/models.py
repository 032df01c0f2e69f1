from django.core.validators import URLValidator
from django.db import models


class Page(models.Model):
    """A web page that is checked."""

    url = models.CharField(
        "URL", max_length=500, unique=True, validators=[URLValidator(["http", "https"])]
    )

    class Meta:
        ordering = ["url"]

    def __str__(self):
        return self.url


class Check(models.Model):
    """What one check of a page found."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="checks")
    # The id of the task that ordered the check. A task that is delivered again has the same id, so
    # its second run finds the first one's record and replaces it.
    run = models.CharField(max_length=255)
    checked_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField("HTTP status", null=True)
    error = models.CharField(max_length=300, blank=True)
    seconds = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["page", "run"], name="one_check_a_run")]
        ordering = ["-checked_at"]

    def __str__(self):
        return f"{self.page}: {self.status or self.error}"
