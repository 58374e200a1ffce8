"""What a method asks of the data, said without torch: views of what size, where they lie, and whose slices they are."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Crops:
    """Views of one kind; several kinds make multi-crop.

    Attributes:
        count: how many of each slice.
        size: side, pixels; 0 = the knob `image_size`.
        scale: smallest and largest area, share of the slice; () = the knob `crop_scale`.
        jitter: brightness and contrast as the knobs say; False = as the slice is.
        flip: mirrored as the knob says; False = never.
        like: place of an earlier view (counted over all kinds) whose crop and flip these have: the same piece of
            the slice, of this kind's size and jitter.
    """

    count: int = 1
    size: int = 0
    scale: tuple[float, float] | tuple[()] = ()
    jitter: bool = True
    flip: bool = True
    like: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What `Method.wanted(p)` returns, and batches are made by.

    Attributes:
        views: kinds of views, in the order that `loss` gets them.
        boxes: also where each view lies in its slice.
        places: also patient, group and volume of each slice, and how high it lies in its volume.
        channels: that the images must have; 0 = any number.
        groups: at least so many groups (folders) of slices; 0 = any number.
        most_groups: at most so many in the whole data; 0 = any number.
        grey: views are colours of 0 to 1, red first, of which the encoder reads the lightness alone.
        why: the reason, where a number of channels or of groups is asked for.
    """

    views: tuple[Crops, ...] = (Crops(2),)
    boxes: bool = False
    places: bool = False
    channels: int = 0
    groups: int = 0
    most_groups: int = 0
    grey: bool = False
    why: str = ""

    @property
    def count(self) -> int:
        """How many views of each slice."""
        return sum(crops.count for crops in self.views)

    def reads(self, channels: int) -> int:
        """How many channels the encoder reads of images that have so many."""
        return 1 if self.grey else channels

    def sizes(self, image_size: int) -> list[int]:
        """Side of each view, pixels."""
        return [crops.size or image_size for crops in self.kinds()]

    def kinds(self) -> Iterator[Crops]:
        """One for each view."""
        for crops in self.views:
            for _ in range(crops.count):
                yield crops


PAIR = Wanted()


def pair(p: object) -> Wanted:
    """What most methods want: two views of each slice."""
    return PAIR
