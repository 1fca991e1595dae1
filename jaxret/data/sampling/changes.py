"""What can be changed in videos, so that they are no longer the pixels that they were made from.

A query cropped from an indexed video repeats its pixels, and is found by whatever compares pixels. So copies are made
as they come about outside: colours are graded, the video is made smaller, a window is cut out, it is blurred and
encoded again. How much, one number tells, the strength s:

- `colour`: brightness, contrast and saturation each times 2^s or 2^-s;
- `scale`: both sides times 2^-3s, an eighth at 1;
- `crop`: a window with both sides 1 - s/2 as long, anywhere in the frame;
- `blur`: Gaussian, with a standard deviation of s/25 of the shorter side;
- `encode`: MPEG-4 with a quantiser of 2 + 29 s, up to 31, the worst that there is.

Signs and the window are drawn once a video, or once a clip that trains. 0.5 is a medium strength.
`jaxret.data.sampling.changed_frames` makes them, `jaxret.data.ground_truth.changed` a data set of changed videos.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["CHANGES", "Change"]

Change = Literal["colour", "scale", "crop", "blur", "encode"]
"""The name of a change."""
CHANGES: tuple[Change, ...] = get_args(Change)
"""All of them, in the order in which they are listed; window, scale, colour, blur and codec act one after the other."""
