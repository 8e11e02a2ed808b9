"""How a command speaks: to people, to programs in JSON lines, or only when something is wrong."""

import errno
import json
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from dasdist.errors import DasdistError, DataWarning, InvalidArgument
from dasdist.safe_text import one_line, shown, without_secrets

if TYPE_CHECKING:
    from dasdist.block_events import BlockEvent
    from dasdist.run.progress import ProgressView

__all__ = ["Voice", "speaking"]

_PATIENCE = 1.0  # seconds
_ROWS = 20  # of a table


class Voice:
    """What a command says.

    Results go to stdout; progress, warnings and errors to stderr.

    Parameters
    ----------
    command : str
        The command.
    quiet : bool
        Only print warnings and errors.
    as_json : bool
        Print JSON, an object a line: ``event`` says what it is about.
    verbose : bool
        Say all that there is to say of what is wrong.
    """

    def __init__(
        self, command: str, *, quiet: bool = False, as_json: bool = False, verbose: bool = False
    ) -> None:
        self.command = command
        self.quiet = quiet
        self.as_json = as_json
        self.verbose = verbose
        from rich.console import Console

        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(highlight=False, soft_wrap=True, stderr=True)
        self.json: TextIO = sys.stdout
        self._started = time.monotonic()
        self._facts: dict[str, Any] = {}

    def say(self, thing: object) -> None:
        """Tell people."""
        if not self.quiet and not self.as_json:
            self.out.print(shown(thing), markup=False)

    def event(self, name: str, **facts: Any) -> None:
        """Tell programs."""
        if self.as_json:
            line = {"event": name, "command": self.command, **facts}
            line = without_secrets(json.loads(json.dumps(line, default=str)))
            self.json.write(json.dumps(line) + "\n")
            self.json.flush()

    def waiting(self, event: "BlockEvent") -> None:
        """Tell programs what a run waits for; people read it in the log."""
        if event.waits_for:
            self.event("waiting", reason=event.waits_for)

    def wrong(self, text: object) -> None:
        """Say what is wrong, in any case."""
        self.err.print(shown(text), markup=False)

    def details(self, text: str, about: str = "") -> None:
        """Say more of what is wrong, if that was asked for."""
        if self.verbose and text:
            self.wrong(
                "\n".join([about, *(f"  {line}" for line in text.splitlines())]).lstrip("\n")
            )

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], more: str
    ) -> None:
        """List what is wrong, all of it; ``more`` says where the rest is if there is too much."""
        if self.as_json or not rows:
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows[:_ROWS]:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console = self.err if self.quiet else self.out
        console.print(table, soft_wrap=False)
        if len(rows) > _ROWS:
            console.print(f"... and {len(rows) - _ROWS} more: {shown(more)}", markup=False)

    def lines(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], more: str
    ) -> None:
        """List what is wrong, a line each; ``more`` says where the rest is if there is too much."""
        if self.as_json or not rows:
            return
        console = self.err if self.quiet else self.out
        console.print(f"{title}:", markup=False)
        for line in aligned([columns, *rows[:_ROWS]]):
            console.print(line, markup=False)
        if len(rows) > _ROWS:
            console.print(f"... and {len(rows) - _ROWS} more: {shown(more)}", markup=False)

    def view(self) -> "ProgressView":
        """Return what shows a run's progress."""
        from dasdist.cli.views import JsonView, LineView
        from dasdist.run.progress import NoView
        from dasdist.run.progress_bar import ProgressBar

        if self.as_json:
            return JsonView(self.event)
        if self.quiet:
            return NoView()
        return ProgressBar(self.err) if self.err.is_terminal else LineView(self.wrong)

    @contextmanager
    def counting(self, unit: str) -> Iterator[Callable[[int, int], None]]:
        """Yield what shows the progress of anything else, told how much is done of how much."""
        from dasdist.cli.views import counter

        show = self.event if self.as_json else None
        with counter(unit, self.err, show, hidden=self.quiet) as count:
            yield count

    @contextmanager
    def patience(self, text: str) -> Iterator[None]:
        """Say on stderr what takes so long, if the block takes longer than one waits gladly."""
        if self.quiet or self.as_json:
            yield
            return
        late = threading.Timer(_PATIENCE, self.wrong, [text])
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()
            late.join()  # never half a line into what comes next

    def fact(self, **facts: Any) -> None:
        """Add to what is said at the end."""
        self._facts.update(facts)

    def end(self, code: int, **facts: Any) -> None:
        """Speak the last word and leave, if there is anything to tell by the exit code."""
        seconds = round(time.monotonic() - self._started, 3)
        self.event("end", exit_code=code, seconds=seconds, **self._facts, **facts)
        if code:
            raise typer.Exit(code)


def aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Return rows as lines of aligned columns.

    Examples
    --------
    >>> aligned([("block", "error"), (3, "No file"), (12345, "No such file")])
    ['block  error', '3      No file', '12345  No such file']
    """
    texts = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in texts]


@contextmanager
def speaking(
    command: str, *, quiet: bool = False, as_json: bool = False, verbose: bool = False
) -> Iterator[Voice]:
    """Run a command: what it raises becomes a message and an exit code."""
    voice = Voice(command, quiet=quiet, as_json=as_json, verbose=verbose)
    elsewhere = _kept_for_json(voice) if as_json else nullcontext()
    with elsewhere, plain_warnings(voice), terminable():
        try:
            yield voice
        except KeyboardInterrupt as error:  # also a run that was stopped in an orderly way
            resume = resume_command(sys.argv[1:])
            voice.wrong(f"{error or 'Stopped.'}\nTo go on where it stopped:\n  {resume}")
            voice.end(130, resume=resume)
        except DasdistError as error:
            voice.wrong(f"Error: {error}{_hint(error)}")
            voice.details(getattr(error, "details", ""))
            voice.end(1, error=str(error), kind=type(error).__name__)
        except OSError as error:
            told = _of_the_system(error)
            if told is None:
                raise  # a fault of dasdist's own
            voice.wrong(f"Error: {told}")
            voice.end(1, error=told, kind=type(error).__name__)
        else:
            voice.end(0)


@contextmanager
def _kept_for_json(voice: Voice) -> Iterator[None]:
    """Print on stderr what models and libraries print, also in workers that begin meanwhile."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        if voice.json is sys.__stdout__:  # and not what a test put in its place
            voice.json.flush()
            kept = os.dup(1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            voice.json = stack.enter_context(open(os.dup(1), "w", encoding="utf-8"))
            os.dup2(2, 1)
        yield


_ONES_OWN_TO_MEND = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR),
    *(errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE),
}


def _of_the_system(error: OSError) -> str | None:
    """Say in one sentence what the system refuses, if that is for the user to mend."""
    if error.errno not in _ONES_OWN_TO_MEND:
        return None
    what = error.filename if error.filename is not None else "A file"
    return (
        f"{what} cannot be used: {error.strerror}. See that it is there and that you may read it, "
        "or write to its folder."
    )


def _hint(error: DasdistError) -> str:
    """Say where an argument stands on a command line."""
    given = " Such arguments are given with --set and --threshold."
    return given if isinstance(error, InvalidArgument) and "--" not in str(error) else ""


def resume_command(arguments: Sequence[str]) -> str:
    """Return the command that goes on with what this one began: the same, but replacing nothing.

    Examples
    --------
    >>> resume_command(["classify", "my data.nc", "-o", "picks", "--overwrite"])
    "dasdist classify 'my data.nc' -o picks"
    """
    return shlex.join(["dasdist", *(word for word in arguments if word != "--overwrite")])


@contextmanager
def plain_warnings(voice: Voice) -> Iterator[None]:
    """Show what dasdist warns of without the line of code that it came from."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, DataWarning):
                voice.wrong(f"Warning: {message}")
            else:
                usual(shown(message), category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, unless it is ignored."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("Stopped by SIGTERM.")

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
