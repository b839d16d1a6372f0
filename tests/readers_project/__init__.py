"""A project with packages that read every model field: an audit log, a history, serializers, exports."""
