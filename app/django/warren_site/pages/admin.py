from django.contrib import admin

from warren_site.pages.models import Check, Page


@admin.register(Page)
class PageAdmin(admin.ModelAdmin):
    search_fields = ["url"]


@admin.register(Check)
class CheckAdmin(admin.ModelAdmin):
    list_display = ["page", "checked_at", "status", "error", "seconds"]
    list_filter = ["status"]
    list_select_related = ["page"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False
