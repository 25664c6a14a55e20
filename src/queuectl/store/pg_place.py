"""Where this machine keeps what belongs to a store on a server: bells, journals, logs. Known once the store's id is."""

from __future__ import annotations

import os

from .. import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..locate import Place

NAME = "postgresql"  # in place of a database file; there is none


def resolved(place: Place, store_id: str, shown: str) -> Place:
    """The place with its folders made: the user's own, one for each store and for each machine that shares a home."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    folder = os.path.join(state, "queuectl", "stores", store_id, os.uname().nodename or "here")
    files.private_folders(folder)
    found = place.but(database=os.path.join(folder, NAME), shown=shown)
    files.private_folder(found.run)
    return found
