"""The command line: ``dasdist --help``.

One module per group of commands: `archives` (synth, index), `runs` (plan, classify, annotate),
`outputs` (status), `events`, `compare`, `exports` (export), `quality`, `models` (list, show, test,
pack), `cluster` (start, stop, status), `doctor` and `demo`. `application` holds what they are
commands of, `options` and `groups` what they take, `voice` how they speak and with which code they
end, `inputs`, `parsing` and `compute` what they work on, how and where.
"""

from dasdist.cli import (
    archives,
    cluster,
    compare,
    demo,
    doctor,
    events,
    exports,
    models,
    outputs,
    quality,
    runs,
)
from dasdist.cli.application import app

__all__ = [
    "app",
    "archives",
    "cluster",
    "compare",
    "demo",
    "doctor",
    "events",
    "exports",
    "models",
    "outputs",
    "quality",
    "runs",
]
