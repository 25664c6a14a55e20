"""apsw without its detour: all it wants of `collections` is the module of abstract classes, which is there already.

Importing the package around that takes two milliseconds, a seventh of a bare interpreter's start, in every command.
"""

from __future__ import annotations

import sys

abstract = sys.modules.get("_collections_abc")
if abstract is not None and not {"collections", "threading"} & set(sys.modules):
    # One thread, nobody has imported it yet: a stand-in for the moment of the import disturbs no one.
    stand_in = type(sys)("collections")
    stand_in.__dict__["abc"] = abstract
    sys.modules.update({"collections": stand_in, "collections.abc": abstract})
    try:
        import apsw
    finally:
        del sys.modules["collections"], sys.modules["collections.abc"]
else:
    import apsw

__all__ = ["apsw"]
