"""Any folder of tagged music, such as ``<root>/<artist>/<album>/…``: genres are those of the tags.

Names alone cannot tell such a folder. It is what `folders` becomes where tags tell more genres
than folders do; see `labels`.
"""

from musicflow.library.layouts import Detection, Layout
from musicflow.library.layouts.folders import read
from musicflow.places import Place


def detect(_root: Place) -> Detection | None:
    """Detect nothing: the tags decide, once they are read."""
    return None


LAYOUT = Layout("tagged", detect, read, labels="tag")
