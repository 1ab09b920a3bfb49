import asyncio
from collections.abc import AsyncIterator, Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def cross_origin(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """The service's own CORS, as a library would add it."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["Access-Control-Allow-Origin"] = request.headers.get("Origin", "null")
        response["Access-Control-Allow-Headers"] = "authorization, content-type"
        response["Access-Control-Allow-Methods"] = "PATCH"
        return response

    return answer


@csrf_exempt
def seen(request: HttpRequest, **_: object) -> JsonResponse:
    """What has arrived of a request."""
    said = {"method": request.method, "scheme": request.scheme, "path": request.path}
    return JsonResponse({**said, "headers": dict(request.headers), "body": request.body.decode()})


def page(request: HttpRequest) -> HttpResponse:
    """A page for a browser to be on."""
    return HttpResponse("<!doctype html><title>mine</title>")


async def events(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        while True:
            yield "data: here\n\n"
            await asyncio.sleep(1)

    return StreamingHttpResponse(lines(), content_type="text/event-stream")


urlpatterns = [
    path("", page),
    path("admin/", admin.site.urls),
    path("events/", events),
    path("students/", seen),
    path("students/<int:pk>/", seen),
]
