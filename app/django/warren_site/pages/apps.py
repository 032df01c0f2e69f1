from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "warren_site.pages"
