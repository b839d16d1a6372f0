"""Tenants, as django-tenants' documentation has them."""

from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):  # type: ignore[misc]
    auto_create_schema = True

    class Meta:
        app_label = "tenants_project"


class Domain(DomainMixin):  # type: ignore[misc]
    class Meta:
        app_label = "tenants_project"
