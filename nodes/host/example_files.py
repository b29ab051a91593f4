"""Route of ComfyUI's server under which ``web/toon_preview.js`` finds the bundled portraits and clips."""

from ...uniavgen_core.bundled.bundled_files import ASSETS
from .notices import running_server

ROUTE = "/uniavgen/examples/{name}"
FOLDERS = ("portraits", "clips")


def serve_examples() -> None:
    """Add the route to the running server, if there is one."""
    server = running_server()
    if server is None:
        return
    from aiohttp import web  # which changes Python's warnings; a server has imported it already

    @server.routes.get(ROUTE)
    async def example(request: web.Request) -> web.StreamResponse:
        """Portrait or clip of a name, as the nodes' widgets have it."""
        files = {path.stem: path for folder in FOLDERS for path in (ASSETS / folder).iterdir()}
        path = files.get(request.match_info["name"])
        return web.Response(status=404) if path is None else web.FileResponse(path)
