"""The test project as a process on a port of its own; prints its address and a session key, ends with its input."""

import json
import sys
import threading

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


def main() -> None:
    django.setup()
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    from django.contrib.auth import get_user_model
    from django.test import Client

    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(get_user_model().objects.create_user("alice"))
    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port, "session": client.cookies["sessionid"].value}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
