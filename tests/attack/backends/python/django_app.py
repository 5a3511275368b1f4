"""Django, for WSGI and for ASGI."""

import os

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path, re_path
from django.views.decorators.http import require_http_methods

from contract import report

settings.configure(
    SECRET_KEY="a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_X_FORWARDED_HOST=os.environ.get("TRUST_FORWARDED") == "1", DEBUG=False,
)


def done(request, operation, canonical, method=None, status=200):
    execution = report(
        operation,
        canonical,
        method or request.method.replace("HEAD", "GET"),
        request.get_host(),
        lambda name: request.META.get("HTTP_" + name.upper().replace("-", "_")),
        request.GET.getlist,
        request.COOKIES.get,
    )
    return JsonResponse(execution, status=status)


def public(request, name=""):
    return done(request, "public", "/public/" + name)


def assets(request, name):
    return done(request, "assets", "/assets/" + name)


def account(request, number):
    operation = {"GET": "read_account", "HEAD": "read_account", "POST": "change_account", "DELETE": "delete_account"}[request.method]
    return done(request, operation, f"/accounts/{number}")


def organization(request, organization):
    return done(request, "organization", f"/orgs/{organization}/data")


def fixed(operation, canonical):
    return lambda request: done(request, operation, canonical)


def nothing(request, exception=None):
    return done(request, "none", None, status=404)


reading = require_http_methods(["GET", "HEAD", "POST"])
urlpatterns = [
    path("public", public),
    re_path(r"^public/(?P<name>.*)$", public),
    re_path(r"^assets/(?P<name>.*)$", assets),
    path("admin", reading(fixed("admin", "/admin"))),
    path("admin/", reading(fixed("admin", "/admin"))),
    path("admin/users", reading(fixed("users", "/admin/users"))),
    path("internal", reading(fixed("internal", "/internal"))),
    path("optional", reading(fixed("optional", "/optional"))),
    path("accounts/<int:number>", require_http_methods(["GET", "HEAD", "POST", "DELETE"])(account)),
    path("orgs/<str:organization>/data", organization),
    re_path(r"^.*$", nothing),
]

django.setup(set_prefix=False)
wsgi = get_wsgi_application()
asgi = get_asgi_application()
