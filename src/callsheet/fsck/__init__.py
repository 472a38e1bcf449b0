"""Checking a whole tree: everything is read, every breach of a promise is named with its repair, and what is safe to mend can be mended.

Rooms, from the ground: `scope` (what all parts share), `aside` (files that lost their name), `reading` (the bytes of both sides), `actors`, `past` (journal
and trash), `leavings` (what else lies in our folders), `mend`, `run`. Rules of this package: a check writes nothing and takes no lock; it names
what it could not look at, for what was not looked at is not sound.
"""

from callsheet.fsck.run import SIDES, run_fsck

__all__ = ["SIDES", "run_fsck"]
