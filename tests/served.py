"""A folder on an HTTP server of loopback that can break off, send other bytes, wait and refuse."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Served:
    """The server; a context manager.

    ``asked`` counts requests by path. ``treat`` takes a path and the bytes of a file and returns
    the bytes that are sent, under the length of the first: fewer break off, None is refused.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: Counter[str] = Counter()
        self.queries: list[str] = []
        self.treat: Callable[[str, bytes], bytes | None] = lambda path, data: data
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(_Handler, directory=str(folder), served=self)
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: object, served: Served, **kwargs: object) -> None:
        self.served = served
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.served.asked[path] += 1
        self.served.queries.append(query)
        file = Path(self.translate_path(path))
        if not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        sent = self.served.treat(path, data)
        if sent is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):  # who asked may be dead
            self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass
