"""aiohttp with its own server."""

from aiohttp import web

from contract import report


async def done(request, operation, path, method=None, status=200):
    await request.read()
    execution = report(
        operation,
        path,
        method or request.method.replace("HEAD", "GET"),
        request.host,
        lambda name: request.headers.getall(name, []),
        lambda name: request.query.getall(name, []),
        request.cookies.get,
    )
    return web.json_response(execution, status=status)


def handler(operation, path, method=None):
    async def handle(request):
        return await done(request, operation, path.format(**request.match_info), method)

    return handle


@web.middleware
async def nothing(request, handler):
    try:
        return await handler(request)
    except web.HTTPException:
        return await done(request, "none", None, status=404)


def serve(port):
    app = web.Application(middlewares=[nothing])
    app.add_routes(
        [
            web.get("/public/{name:.*}", handler("public", "/public/{name}")),
            web.get("/assets/{name:.*}", handler("assets", "/assets/{name}")),
            web.get("/admin", handler("admin", "/admin")),
            web.post("/admin", handler("admin", "/admin")),
            web.get("/admin/users", handler("users", "/admin/users")),
            web.get("/internal", handler("internal", "/internal")),
            web.route("*", "/optional", handler("optional", "/optional")),
            web.get(r"/accounts/{number:\d+}", handler("read_account", "/accounts/{number}", "GET")),
            web.post(r"/accounts/{number:\d+}", handler("change_account", "/accounts/{number}", "POST")),
            web.delete(r"/accounts/{number:\d+}", handler("delete_account", "/accounts/{number}", "DELETE")),
            web.get("/orgs/{organization}/data", handler("organization", "/orgs/{organization}/data")),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)
