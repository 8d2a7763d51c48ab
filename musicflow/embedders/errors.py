"""What keeps an embedder from working. The messages say what happened and what to do."""

from musicflow.errors import MusicflowError


class EmbedderError(MusicflowError):
    """An embedder that cannot be used; those below say more."""

    code = "embedder"


class UnknownEmbedderError(EmbedderError):
    """A name that leads to no embedder; its code is one of `registry.RegistryError`."""


class InterfaceError(EmbedderError):
    """An embedder that does not do what `Embedder` asks of it."""

    code = "interface"


class MissingExtraError(EmbedderError):
    """An embedder that needs packages which are not installed."""

    code = "missing-extra"


class DeviceError(EmbedderError):
    """A device that models cannot run on."""


class WeightsError(EmbedderError):
    """Weights that cannot be had, or are not what they should be."""

    code = "weights"
