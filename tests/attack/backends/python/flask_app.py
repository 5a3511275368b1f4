"""Flask, as its documentation shows it."""

from flask import Flask, request

from contract import of_environ, report

app = Flask(__name__, static_folder=None)


def done(operation, path, method=None):
    return report(
        operation,
        path,
        method or request.method.replace("HEAD", "GET"),
        request.host,
        of_environ(request.environ),
        request.args.getlist,
        request.cookies.get,
    )


@app.get("/public")
@app.get("/public/<path:name>")
def public(name=""):
    return done("public", "/public/" + name)


@app.get("/assets/<path:name>")
def assets(name):
    return done("assets", "/assets/" + name)


@app.route("/admin", methods=["GET", "POST"])
def admin():
    return done("admin", "/admin")


@app.get("/admin/users")
def users():
    return done("users", "/admin/users")


@app.get("/internal")
def internal():
    return done("internal", "/internal")


@app.route("/optional", methods=["GET", "POST"])
def optional():
    return done("optional", "/optional")


@app.route("/accounts/<int:number>", methods=["GET"])
def read_account(number):
    return done("read_account", f"/accounts/{number}", "GET")


@app.route("/accounts/<int:number>", methods=["POST"])
def change_account(number):
    return done("change_account", f"/accounts/{number}", "POST")


@app.route("/accounts/<int:number>", methods=["DELETE"])
def delete_account(number):
    return done("delete_account", f"/accounts/{number}", "DELETE")


@app.get("/orgs/<organization>/data")
def organization(organization):
    return done("organization", f"/orgs/{organization}/data")


@app.errorhandler(404)
@app.errorhandler(405)
def nothing(error):
    return done("none", None), error.code
