"""The data room must not import JAX: importing it is quick, and readers run in plain worker processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jaxret.data


def test_importing_every_module_leaves_jax_out():
    room = Path(jaxret.data.__file__).parent
    names = sorted(".".join(path.relative_to(room).with_suffix("").parts) for path in room.rglob("[a-z]*.py"))
    assert "batches.loader" in names
    program = "\n".join(
        [
            "import sys",
            *(f"import jaxret.data.{name}" for name in names),
            "print({'jax', 'tensorflow'} & set(sys.modules))",
        ]
    )
    root = Path(jaxret.data.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_names_that_the_room_offers_leave_jax_out():
    program = (
        "import sys, jaxret.data as data; [getattr(data, name) for name in data.__all__]; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
    assert {"open_dataset", "MediaDataset", "MediaFiles", "MediaItem", "Rows"} <= set(jaxret.data.__all__)
    assert set(jaxret.data.__all__) <= set(dir(jaxret.data))
