"""Importing the package costs what importing torch costs."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import grap_seq.weighting as package
slow = {"pandas", "scipy", "torchjd", "lightning", "pyarrow", "ptls", "matplotlib", "sklearn"}
loaded = slow & {name.split(".")[0] for name in sys.modules}
assert not loaded, loaded
assert "torch._dynamo" not in sys.modules
for name in package.__all__:
    getattr(package, name)
package.GraP(["a"]), package.Fixed(["a"], {"a": 1.0}), package.MGDA(["a"]), package.PCGrad(["a"])
loaded = slow & {name.split(".")[0] for name in sys.modules}
assert not loaded, loaded
"""


def test_nothing_slow_is_imported_before_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
