"""How encoders of shots are described: JSON that comes back, images of a size of their own, errors."""

from __future__ import annotations

import json

import pytest

from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing, ShotSampling


def test_settings_of_shots_come_back_from_json() -> None:
    settings = Preprocessing(height=1024, width=1024, resize="limit", shots=ShotSampling(rate=2.5, image_side=640))
    assert Preprocessing.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.of_images.height == settings.of_images.width == 640
    chunks = Preprocessing()
    assert "shots" not in chunks.to_json()  # what older encoders hash must not change
    assert Preprocessing.from_json(chunks.to_json()) == chunks
    assert chunks.of_images is chunks


def test_malformed_settings_are_named() -> None:
    good = Preprocessing(height=64, width=64, resize="limit", shots=ShotSampling()).to_json()
    with pytest.raises(ConfigError, match=r"the settings of shots or depth are malformed.*'fps'"):
        Preprocessing.from_json({**good, "shots": {"fps": 3}})
    with pytest.raises(ConfigError, match="missing or unknown settings: height"):
        Preprocessing.from_json({name: value for name, value in good.items() if name != "height"})
    with pytest.raises(ConfigError, match="frames of shots keep their shape: resize must be limit, got 'crop'"):
        Preprocessing.from_json({**good, "resize": "crop"})
