"""What prompts that come one by one begin with, so that it is read once for all of them.

Questions about one database share most of what they say. Works on token ids; the latest beginnings are remembered.
"""

from pipeline.model import common_prefix
from pipeline.pack import Group

# Below this length, running a shared prefix by itself costs more than it saves.
SHORTEST = 32
REMEMBERED = 4  # beginnings, and prompts that no other has begun like yet
NO_TOKEN = -1


class Openings:
    """Groups prompts with those before them."""

    def __init__(self) -> None:
        self._groups: list[Group] = []  # the latest last
        self._alone: list[list[int]] = []

    def group_of(self, place: int, prompt: list[int]) -> Group:
        """The group of those that begin as this prompt does for at least half of it; a new one where there is none."""
        for group in reversed(self._groups):
            known = len(group.shared)
            if len(prompt) / 2 <= known < len(prompt) and tuple(prompt[:known]) == group.shared:
                self._groups.remove(group)
                self._groups.append(group)
                return group
        for other in reversed(self._alone):
            shared = common_prefix([prompt, [*other, NO_TOKEN]])
            if len(shared) >= max(SHORTEST, len(prompt) / 2):
                group = Group((place,), tuple(shared))
                self._alone.remove(other)
                self._groups = [*self._groups, group][-REMEMBERED:]
                return group
        self._alone = [*self._alone, prompt][-REMEMBERED:]
        return Group((place,), ())
