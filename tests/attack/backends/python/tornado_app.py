"""Tornado with its own server."""

import asyncio

import tornado.web

from contract import report


class Handler(tornado.web.RequestHandler):
    def initialize(self, operation, path, methods=("GET",)):
        self.operation, self.canonical, self.methods = operation, path, methods

    def done(self, *arguments):
        method = self.request.method.replace("HEAD", "GET")
        if method not in self.methods:
            self.set_status(405)
            return
        operation = self.operation[method] if isinstance(self.operation, dict) else self.operation
        path = self.canonical.format(*arguments) if self.canonical else None
        self.write(
            report(operation, path, method, self.request.host, self.request.headers.get_list, self.get_query_arguments, self.get_cookie)
        )

    get = head = post = delete = done


ACCOUNT = {"GET": "read_account", "POST": "change_account", "DELETE": "delete_account"}


def serve(port):
    application = tornado.web.Application(
        [
            (r"/public()", Handler, {"operation": "public", "path": "/public/{0}"}),
            (r"/public/(.*)", Handler, {"operation": "public", "path": "/public/{0}"}),
            (r"/assets/(.*)", Handler, {"operation": "assets", "path": "/assets/{0}"}),
            (r"/admin", Handler, {"operation": "admin", "path": "/admin", "methods": ("GET", "POST")}),
            (r"/admin/users", Handler, {"operation": "users", "path": "/admin/users"}),
            (r"/internal", Handler, {"operation": "internal", "path": "/internal"}),
            (r"/optional", Handler, {"operation": "optional", "path": "/optional", "methods": ("GET", "POST")}),
            (r"/accounts/([0-9]+)", Handler, {"operation": ACCOUNT, "path": "/accounts/{0}", "methods": tuple(ACCOUNT)}),
            (r"/orgs/([^/]+)/data", Handler, {"operation": "organization", "path": "/orgs/{0}/data"}),
            (r".*()", Handler, {"operation": "none", "path": None, "methods": ("GET", "POST", "DELETE")}),
        ]
    )

    async def run():
        application.listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(run())
