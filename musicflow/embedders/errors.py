"""What keeps an embedder from working. The messages say what happened and what to do."""


class EmbedderError(Exception):
    """Any of those below."""


class UnknownEmbedderError(EmbedderError):
    """A name that no embedder has."""


class HopError(EmbedderError):
    """A hop that an embedder cannot take."""


class DeviceError(EmbedderError):
    """A device that models cannot run on."""


class WeightsError(EmbedderError):
    """Weights that cannot be had, or are not what they should be."""
