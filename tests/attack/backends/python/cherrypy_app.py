"""CherryPy with its own server (cheroot)."""

import cherrypy

from contract import report


def done(operation, path, method=None):
    request = cherrypy.request
    cookie = request.cookie.get("access_token")
    return str(
        report(
            operation,
            path,
            method or request.method.replace("HEAD", "GET"),
            cherrypy.url("/", base=None).split("//", 1)[-1].split("/", 1)[0],
            request.headers.get,
            request.params.get,
            lambda name: cookie.value if cookie else None,
        )
    )


class Accounts:
    def _cp_dispatch(self, vpath):
        cherrypy.request.params["number"] = vpath.pop(0)
        return self

    @cherrypy.expose
    def index(self, number, **params):
        if not number.isdigit():
            raise cherrypy.NotFound()
        names = {"GET": "read_account", "POST": "change_account", "DELETE": "delete_account"}
        method = cherrypy.request.method.replace("HEAD", "GET")
        return done(names[method], f"/accounts/{number}", method)


class Admin:
    @cherrypy.expose
    def index(self, **params):
        return done("admin", "/admin")

    @cherrypy.expose
    def users(self, **params):
        return done("users", "/admin/users")


class Root:
    admin = Admin()
    accounts = Accounts()

    @cherrypy.expose
    def public(self, *names, **params):
        return done("public", "/public/" + "/".join(names))

    @cherrypy.expose
    def assets(self, *names, **params):
        return done("assets", "/assets/" + "/".join(names))

    @cherrypy.expose
    def internal(self, **params):
        return done("internal", "/internal")

    @cherrypy.expose
    def optional(self, **params):
        return done("optional", "/optional")

    @cherrypy.expose
    def orgs(self, organization, data, **params):
        return done("organization", f"/orgs/{organization}/{data}")


def nothing(status, message, traceback, version):
    return done("none", None)


def serve(port):
    cherrypy.config.update(
        {"server.socket_host": "127.0.0.1", "server.socket_port": port, "engine.autoreload.on": False,
         "log.screen": False, "error_page.404": nothing, "error_page.405": nothing,
         "tools.trailing_slash.on": False}
    )
    cherrypy.quickstart(Root())
