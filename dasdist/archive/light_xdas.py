"""Import of xdas what opens files: a third of the time, for processes that do nothing else.

::

    xdas            as a whole when anything else of it is asked for
    ├─ core, coordinates, virtual, io        imported
    ├─ processing                            stands in, for the streams of ASN; never used here
    └─ atoms, signal, picking, ...           not imported: they need numba, and all of scipy
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["import_light_xdas"]

_PARTS = ("xdas.core", "xdas.coordinates", "xdas.virtual", "xdas.io")
_STAND_INS = ("xdas.processing", "xdas.processing.core")
_LAZY = ("plotly.express",)
"""What xdas imports for its plots."""


def import_light_xdas() -> None:
    """Import what opens files, in the place of xdas; or xdas, where that does not work."""
    spec = find_spec("xdas")
    if "xdas" in sys.modules or spec is None:
        return
    package: ModuleType = module_from_spec(spec)
    sys.modules["xdas"] = package
    try:
        for name in _LAZY:
            sys.modules.setdefault(name, _Later(name))
        for name in _STAND_INS:
            sys.modules[name] = _StandIn(name)
        for name in _PARTS:
            import_module(name)
        package.__class__ = _Light
    except Exception:  # noqa: BLE001 - another version of xdas, which may need more
        for name in [name for name in sys.modules if name.partition(".")[0] == "xdas"]:
            del sys.modules[name]
        import_module("xdas")


class _Light(ModuleType):
    """A package that is executed when something is asked for that is in none of its parts."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        for part in _PARTS[:2]:
            if hasattr(sys.modules.get(part), name):
                return getattr(sys.modules[part], name)
        for stand_in in _STAND_INS:
            sys.modules.pop(stand_in, None)
        self.__class__ = ModuleType  # type: ignore[assignment]
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class _StandIn(ModuleType):
    """A module in which every name is that of an empty class."""

    __path__: list[str] = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Later(ModuleType):
    """A module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(self.__name__, None)
        return getattr(import_module(self.__name__), name)
