"""DeepSpeed without MLflow, which its autotuner imports where it is installed: a third of the time in which a rank starts.

Nothing else in this package imports `deepspeed`; `python -m` of this module is its launcher of one machine's ranks.
"""

from __future__ import annotations

import runpy
import sys

UNUSED = "mlflow"

_is_here = UNUSED in sys.modules
if not _is_here:
    # None in the place of a module is Python's word for one that cannot be imported.
    sys.modules[UNUSED] = None  # type: ignore[assignment]
try:
    import deepspeed
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder
finally:
    if not _is_here:
        del sys.modules[UNUSED]

__all__ = ["ShareMemCommBuilder", "deepspeed"]

if __name__ == "__main__":
    runpy.run_module("deepspeed.launcher.launch", run_name="__main__")
