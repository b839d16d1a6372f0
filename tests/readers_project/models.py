"""History tables of the app's models."""

from simple_history import register

from thanksio_connect.models import AuthorizationRequest, ConnectionTokens, ThanksIOConnection

for model in (AuthorizationRequest, ConnectionTokens, ThanksIOConnection):
    register(model, app="tests.readers_project")
