"""The stages, one verb a file, and the command line.

For notebooks and scripts: `from pipeline import ask, evaluate` (`pipeline/interface.py`).
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.interface import ask as ask
    from pipeline.interface import evaluate as evaluate


class _Function:
    """A function of this package that bears the name of one of its modules, and is not replaced when that is imported."""

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, *_: object) -> Any:
        from pipeline import interface

        return getattr(interface, self._name)

    def __set__(self, *_: object) -> None:
        pass


class _Package(ModuleType):
    ask = _Function()
    evaluate = _Function()


sys.modules[__name__].__class__ = _Package
