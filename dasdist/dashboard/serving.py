"""The one place that knows how Dask serves its dashboard, which is not documented.

Seen in distributed 2025.11 to 2026.8: each application of bokeh's hangs in the scheduler's
``http_application``; the menu is made of lists that all pages share; and the list that JupyterLab
asks for, ``individual-plots.json``, holds the paths of the first application alone.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Scheduler

    from dasdist.dashboard.install import Boards

__all__ = ["serve"]


def serve(scheduler: "Scheduler", boards: "Boards") -> str:
    """Serve the pages; return why that cannot be, else nothing."""
    web: Any = getattr(scheduler, "http_application", None)
    theirs = [app for app in getattr(web, "applications", ()) if hasattr(app, "app_paths")]
    if not theirs:
        return "the scheduler was started without a dashboard, or its process lacks bokeh"
    try:
        from distributed.dashboard.core import BokehApplication
        from distributed.dashboard.scheduler import template_variables

        from dasdist.dashboard.page import pages
    except ImportError as error:
        return f"the scheduler's process cannot show it: {error}"
    shared = template_variables(scheduler)
    served: dict[str, Callable[..., None]] = {
        path: partial(_document, boards, show) for path, show in pages().items()
    }
    ours: Any = BokehApplication(served, scheduler, theirs[0].prefix, shared)
    web.add_application(ours)
    ours.initialize(scheduler.loop)
    ours.start()
    _list(shared, theirs[0], ours)
    return ""


def _document(boards: "Boards", show: Any, scheduler: Any, extra: Any, document: Any) -> None:
    """Fill a browser's document, as `BokehApplication` wants it."""
    show(boards, document, extra)


def _list(shared: dict[str, Any], theirs: Any, ours: Any) -> None:
    """Put the pages into the menu and into JupyterLab's list."""
    shared["pages"].insert(0, "das")
    for path, application in ours.applications.items():
        if path.startswith("/individual-"):
            name = " ".join(path.split("-")[1:]).title().replace("Das", "DAS")
            shared["plots"].append({"url": path.strip("/"), "name": name})
            theirs._applications[path] = application
    shared["plots"].sort(key=lambda plot: plot["name"])
