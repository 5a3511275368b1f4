"""Runs one application in one server: serve.py APPLICATION SERVER PORT. A WSGI application also runs in a thread of its own where the
server needs one. Prints nothing but what the server says."""

import importlib
import os
import sys

application, server, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
module_name, attribute = {
    "flask": ("flask_app", "app"),
    "bottle": ("bottle_app", "app"),
    "django": ("django_app", "wsgi"),
    "django-asgi": ("django_app", "asgi"),
    "fastapi": ("fastapi_app", "app"),
    "cherrypy": ("cherrypy_app", None),
    "tornado": ("tornado_app", None),
    "aiohttp": ("aiohttp_app", None),
}[application]
folder = os.path.dirname(os.path.abspath(__file__))
programs = os.path.dirname(sys.executable)


def run(*command):
    os.chdir(folder)
    os.execv(command[0], command)


def load():
    return getattr(importlib.import_module(module_name), attribute)


if server == "own":
    importlib.import_module(module_name).serve(port)
elif server == "werkzeug":
    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", port, load())
elif server == "wsgiref":
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments):
            pass

    make_server("127.0.0.1", port, load(), handler_class=Quiet).serve_forever()
elif server == "waitress":
    import waitress

    waitress.serve(load(), host="127.0.0.1", port=port, threads=1)
elif server == "cheroot":
    from cheroot.wsgi import Server

    Server(("127.0.0.1", port), load(), numthreads=1).start()
elif server == "gunicorn":
    run(f"{programs}/gunicorn", "--workers=1", "--threads=2", f"--bind=127.0.0.1:{port}", f"{module_name}:{attribute}")
elif server == "uwsgi":
    run(f"{programs}/pyuwsgi", "--master", "--die-on-term", "--need-app", "--disable-logging", "--so-keepalive",
        "--http-socket", f"127.0.0.1:{port}", "--chdir", folder, "--wsgi", f"{module_name}:{attribute}",
        "--virtualenv", os.path.dirname(programs))
elif server in ("uvicorn-h11", "uvicorn-httptools"):
    import uvicorn

    uvicorn.run(load(), host="127.0.0.1", port=port, http=server.split("-")[1], log_level="warning")
elif server == "hypercorn":
    run(f"{programs}/hypercorn", "--workers=1", f"--bind=127.0.0.1:{port}", f"{module_name}:{attribute}")
else:
    sys.exit(f"no server is called {server}")
