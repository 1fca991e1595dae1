"""What the benchmark programs share is imported as they import it; where only the package is, nothing is collected."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if BENCHMARKS.is_dir():
    sys.path.append(str(BENCHMARKS))
else:
    collect_ignore_glob = ["test_*.py"]
