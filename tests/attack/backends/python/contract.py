"""What every backend in Python reports: one line of JSON for each operation that it executed, in the file EXECUTIONS."""

import json
import os

_LOG = os.open(os.environ["EXECUTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def as_list(value):
    """Every text in what a framework gives for one name: nothing, one value, a list or an object."""
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode("utf-8", "replace")]
    if isinstance(value, dict):
        return [text for item in value.values() for text in as_list(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in as_list(item)]
    return [str(value)]


def report(operation, path, method, host, headers, params, cookies, attempt=None):
    """`operation` is the handler's name, `path` the canonical path of what it did. `headers`, `params` and `cookies` are
    functions from a name to what the framework gives for it."""
    execution = {
        "attempt": (as_list(headers("x-attempt")) or [""])[0] if attempt is None else attempt,
        "operation": operation,
        "path": path,
        "method": method,
        "host": host,
        "virtual_host": as_list(headers("x-virtual-host")),
        "user": as_list(headers("x-user-id")),
        "groups": as_list(headers("x-groups")),
        "authorization": as_list(headers("authorization")),
        "param": as_list(params("access_token")),
        "cookie": as_list(cookies("access_token")),
    }
    os.write(_LOG, (json.dumps(execution) + "\n").encode("utf-8", "surrogateescape"))
    return execution


def of_environ(environ):
    """How a WSGI application reads a header."""
    return lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"))
