"""FastAPI (Starlette). TRAILERS of a request are no part of ASGI: what a server merges into the headers is seen here."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from contract import report

app = FastAPI(openapi_url=None)


async def done(request, operation, path, method=None, status=200):
    await request.body()
    execution = report(
        operation,
        path,
        method or request.method.replace("HEAD", "GET"),
        request.url.netloc,
        request.headers.getlist,
        request.query_params.getlist,
        request.cookies.get,
    )
    return JSONResponse(execution, status_code=status)


@app.get("/public/{name:path}")
async def public(request: Request, name: str = ""):
    return await done(request, "public", "/public/" + name)


@app.get("/assets/{name:path}")
async def assets(request: Request, name: str):
    return await done(request, "assets", "/assets/" + name)


@app.api_route("/admin", methods=["GET", "POST"])
async def admin(request: Request):
    return await done(request, "admin", "/admin")


@app.get("/admin/users")
async def users(request: Request):
    return await done(request, "users", "/admin/users")


@app.get("/internal")
async def internal(request: Request):
    return await done(request, "internal", "/internal")


@app.api_route("/optional", methods=["GET", "POST"])
async def optional(request: Request):
    return await done(request, "optional", "/optional")


@app.get("/accounts/{number}")
async def read_account(request: Request, number: int):
    return await done(request, "read_account", f"/accounts/{number}", "GET")


@app.post("/accounts/{number}")
async def change_account(request: Request, number: int):
    return await done(request, "change_account", f"/accounts/{number}", "POST")


@app.delete("/accounts/{number}")
async def delete_account(request: Request, number: int):
    return await done(request, "delete_account", f"/accounts/{number}", "DELETE")


@app.get("/orgs/{organization}/data")
async def organization(request: Request, organization: str):
    return await done(request, "organization", f"/orgs/{organization}/data")


@app.exception_handler(404)
@app.exception_handler(405)
async def nothing(request: Request, error):
    return await done(request, "none", None, status=404)
