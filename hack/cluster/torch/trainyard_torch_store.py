"""Makes TCPStore work in Debian's PyTorch, which is built without libuv, its default since 2.4.

Loaded by a `.pth` file at every start of Python; does nothing until `torch.distributed` is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Loader(importlib.abc.Loader):
    """Runs the module's own loader with a TCPStore that never asks for libuv."""

    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        import torch

        native: Any = torch._C
        initialise = native._c10d_init

        def initialise_without_libuv() -> object:
            done = initialise()
            import torch._C._distributed_c10d as c10d

            class TCPStore(c10d.TCPStore):  # type: ignore[misc]
                """The store with its older backend."""

                def __init__(self, *args: object, **options: object) -> None:
                    options["use_libuv"] = False
                    super().__init__(*args, **options)

            c10d.TCPStore = TCPStore
            return done

        native._c10d_init = initialise_without_libuv
        self._inner.exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Steps in once, for `torch.distributed` alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch.distributed":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
