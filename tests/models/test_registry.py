"""Registering by name: lazily, once, and from packages that say so in their metadata."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import (
    Backbone,
    SequenceEncoder,
    create_encoder,
    create_sequence_encoder,
    register_backbone,
    register_encoder,
    register_sequence_encoder,
    registry,
)
from jaxret.models.backbones.small_convnet import SmallConvNet
from jaxret.models.temporal.pooling import Mean


def test_a_small_model_does_not_import_large_ones() -> None:
    code = (
        "import sys; from flax import nnx; from jaxret.models import create_backbone;"
        "create_backbone('small-convnet', widths=[4], embedding_size=4, rngs=nnx.Rngs(0));"
        "print([m for m in sys.modules if m.startswith('jaxret.models.backbones.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "small_convnet" in done.stdout
    assert not any(name in done.stdout for name in ("vgg16", "c3d", "mobilenet", "efficientnet"))


@pytest.mark.parametrize("names", ["_BACKBONES", "_SEQUENCE_ENCODERS", "_ENCODERS"])
def test_built_in_classes_stand_where_the_registry_looks(names: str) -> None:
    table: Any = getattr(registry, names)
    for name, module in table.modules.items():
        found = table.find(name)
        assert found.__module__ == module
        assert name == (found.name if issubclass(found, Backbone) else found.kind)


def test_every_class_is_found_by_the_tables_alone() -> None:
    """All modules are imported; what they register and no table names, a new process would not find."""
    code = (
        "import importlib, pkgutil, jaxret.models, jaxret.retrieval.systems as systems\n"
        "from jaxret.models.registry import _BACKBONES, _ENCODERS, _SEQUENCE_ENCODERS\n"
        "for package in (jaxret.models, systems):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "tables = [(table.classes, table.modules) for table in (_BACKBONES, _SEQUENCE_ENCODERS, _ENCODERS)]\n"
        "places = {name: f'{systems.__name__}.{module}' for name, module in systems.base._MODULES.items()}\n"
        "for classes, modules in (*tables, (systems.base._SYSTEMS, places)):\n"
        "    found = {name: one.__module__ for name, one in classes.items()}\n"
        "    print(len(found), sorted(found.items() ^ modules.items()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    counts, differences = zip(*(line.split(maxsplit=1) for line in done.stdout.splitlines()), strict=True)
    assert differences == ("[]",) * 4, done.stdout
    assert min(map(int, counts)) >= 8


def test_names_are_taken_once() -> None:
    class Other(SmallConvNet):
        pass

    with pytest.raises(ConfigError, match=r"the backbone 'small-convnet' of .* has the name of one of jaxret\.models"):
        register_backbone(image_size=32)(Other)
    assert registry._BACKBONES.find("small-convnet") is SmallConvNet

    class OtherMean(Mean):
        pass

    with pytest.raises(ConfigError, match="the encoder of sequences 'mean'"):
        register_sequence_encoder(OtherMean)
    assert registry._SEQUENCE_ENCODERS.find("mean") is Mean


def test_a_definition_that_is_run_again_replaces_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry._BACKBONES, "classes", dict(registry._BACKBONES.classes))
    made = []
    for size in (32, 48):

        @register_backbone(image_size=size)
        class Again(SmallConvNet):
            name = "again"

        made.append(Again)
    assert registry._BACKBONES.find("again") is made[1]
    assert registry.backbone_info("again").image_size == 48


def test_sequence_encoders_and_encoders_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (registry._SEQUENCE_ENCODERS, registry._ENCODERS):
        monkeypatch.setattr(table, "classes", dict(table.classes))

    @register_sequence_encoder
    class First(SequenceEncoder):
        kind = "first"

        def __init__(self, input_size: int, *, rngs: nnx.Rngs):
            self.input_size = self.embedding_size = input_size

    assert isinstance(create_sequence_encoder("first", input_size=3, rngs=nnx.Rngs(0)), First)

    @register_encoder
    class Whole(nnx.Module):
        kind = "whole"

        @classmethod
        def from_config(cls, config, rngs):
            return cls()

    assert isinstance(create_encoder({"kind": "whole"}, rngs=nnx.Rngs(0)), Whole)
    with pytest.raises(ConfigError, match="unknown kind of encoder 'hole': did you mean 'whole'"):
        create_encoder({"kind": "hole"}, rngs=nnx.Rngs(0))


def test_packages_that_name_a_module_are_imported_when_a_name_is_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "a_package_of_models.py").write_text(
        "from jaxret.models import register_backbone\n"
        "from jaxret.models.backbones.small_convnet import SmallConvNet\n"
        "@register_backbone(image_size=48)\n"
        "class Packaged(SmallConvNet):\n"
        "    name = 'packaged'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry._BACKBONES, "classes", dict(registry._BACKBONES.classes))
    entry = EntryPoint("packaged", "a_package_of_models", "jaxret.models")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == entry.group else [])
    registry._import_extensions.cache_clear()
    try:
        assert registry.backbone_info("packaged").image_size == 48
        assert "packaged" in registry.known_backbones("frame")
    finally:
        registry._import_extensions.cache_clear()
