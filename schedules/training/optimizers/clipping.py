"""Clipping a gradient by the norm of the whole model's, of which a rank may hold a part only."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from schedules.errors import MisuseError
from schedules.misuse.values import short
from schedules.operations import Array

MARGIN = 1e-6
"""Is added to the norm, as torch does, so that a gradient of zeros divides nothing by zero."""


def squared_norm(gradient: Array) -> Array:
    """|g|^2 of a gradient or of a part of it, so that the parts' sum is the whole's; an array, so that it can be sent.

    Args:
        gradient: [size], floating.
    Returns:
        float64 [1], of the same library and on the same device.
    """
    try:
        xp = array_namespace(gradient)
    except TypeError:
        raise MisuseError(f"squared_norm: expected an array, found {short(gradient)}") from None
    if gradient.dtype.itemsize < 4:  # a half-precision square has three digits, and the largest overflow
        gradient = xp.astype(gradient, xp.float32)
    return xp.reshape(xp.sum(gradient * gradient, dtype=xp.float64), (1,))


def clipping_factor(clip_norm: float, squared: Array | float) -> float:
    """min(1, clip_norm / (norm + 1e-6)): what the gradient is multiplied by.

    Args:
        clip_norm: the largest norm that is let through.
        squared: of the norm: a number, or an array [1] as `squared_norm` makes it.
    Source: torch.nn.utils.clip_grad_norm_.
    """
    norm = math.sqrt(squared if isinstance(squared, float | int) else float(squared[0]))
    return min(clip_norm / (norm + MARGIN), 1.0)  # in this order a norm that is no number gives no number, as in torch
