"""Bottle."""

import bottle
from bottle import Bottle, request

from contract import of_environ, report

app = Bottle()


def done(operation, path, method=None):
    return report(
        operation,
        path,
        method or request.method.replace("HEAD", "GET"),
        request.urlparts.netloc,
        of_environ(request.environ),
        request.query.getall,
        request.get_cookie,
    )


@app.get("/public/<name:path>")
def public(name=""):
    return done("public", "/public/" + name)


@app.get("/assets/<name:path>")
def assets(name):
    return done("assets", "/assets/" + name)


@app.route("/admin", method=["GET", "POST"])
def admin():
    return done("admin", "/admin")


@app.get("/admin/users")
def users():
    return done("users", "/admin/users")


@app.get("/internal")
def internal():
    return done("internal", "/internal")


@app.route("/optional", method=["GET", "POST"])
def optional():
    return done("optional", "/optional")


@app.get("/accounts/<number:int>")
def read_account(number):
    return done("read_account", f"/accounts/{number}", "GET")


@app.post("/accounts/<number:int>")
def change_account(number):
    return done("change_account", f"/accounts/{number}", "POST")


@app.delete("/accounts/<number:int>")
def delete_account(number):
    return done("delete_account", f"/accounts/{number}", "DELETE")


@app.get("/orgs/<organization>/data")
def organization(organization):
    return done("organization", f"/orgs/{organization}/data")


@app.error(404)
@app.error(405)
def nothing(error):
    bottle.response.content_type = "text/plain"
    done("none", None)
    return ""
