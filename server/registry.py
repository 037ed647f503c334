"""The released models: one folder a model, complete or absent.

``models/<name>/model.safetensors``, ``card.json``, ``card.md``. A folder is written beside its
place, flushed and renamed, so nobody ever reads half a model; publishing the same model again
changes nothing, publishing another one under its name is refused.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fedtrace.governance.canonical import digest
from fedtrace.governance.errors import Corrupt
from fedtrace.server.card import ModelCard
from fedtrace.server.files import flush_directory, write_durably

MODEL_FILE = "model.safetensors"
CARD_FILE = "card.json"
TEXT_FILE = "card.md"


class ModelRegistry:
    """The models folder of a consortium."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def publish(self, model: bytes, card: ModelCard) -> Path:
        """Put a model and its card in place.

        Args:
            model: the safetensors file.
            card: its card; ``card.model.digest`` must be the digest of ``model``.

        Returns:
            The model's folder.

        Raises:
            Corrupt: card and model do not belong together, or another model has that name.
        """
        if card.model.digest != digest(model):
            raise Corrupt(f"the card of {card.name} describes another file than the model")
        target = self._directory / card.name
        if target.exists():
            self.load(card.name, expected_digest=card.model.digest)
            return target
        self._directory.mkdir(parents=True, exist_ok=True)
        staging = self._directory / f".{card.name}.staging"
        shutil.rmtree(staging, ignore_errors=True)  # left by an aggregator that died here
        staging.mkdir()
        write_durably(staging / MODEL_FILE, model)
        write_durably(staging / CARD_FILE, card.to_json())
        write_durably(staging / TEXT_FILE, card.to_markdown().encode())
        staging.rename(target)
        flush_directory(self._directory)
        return target

    def names(self) -> tuple[str, ...]:
        """The released models, by name."""
        if not self._directory.is_dir():
            return ()
        found = (path.name for path in self._directory.iterdir() if path.is_dir())
        return tuple(sorted(name for name in found if not name.startswith(".")))

    def load(self, name: str, *, expected_digest: str | None = None) -> tuple[bytes, ModelCard]:
        """Read a released model and its card.

        Raises:
            Corrupt: a file is missing or changed, or the model is not the expected one.
        """
        if name not in self.names():
            raise Corrupt(f"there is no model {name} here")
        folder = self._directory / name
        try:
            model = (folder / MODEL_FILE).read_bytes()
            card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise Corrupt(f"the released model {name} cannot be read") from error
        if card.model.digest != digest(model):
            raise Corrupt(f"the released model {name} is not the one that its card describes")
        if expected_digest not in (None, card.model.digest):
            raise Corrupt(f"another model was released under the name {name} before")
        return model, card
