"""Models from outside as embedders: one file per kind of address; see `embedders.ADAPTERS`.

An adapter has a function `entry`, from an `Address` to an `EmbedderEntry`. It says how a batch of
windows becomes vectors. Decoding, windows and the mean over a track happen outside, as for all.
"""
