"""One tensor of a float file against the same tensor of a compressed one, image by image."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.runtimes.contract.description import Activation

Values = NDArray[np.float32]
Powers = NDArray[np.float64]
FOLLOWS = 0.25
"""Squared correlation from which a channel follows its original: a ratio of 1 in 3, -5 dB."""


class TensorStats:
    """What is kept of a tensor: sums of every image, extremes of every channel.

    Args:
        codes: the tensor in the compressed file, whose codes, if any, can stand for some numbers.
        channel_axis: of the channels where the tensor has four dimensions.
        factors: how many times larger each channel is in the compressed file, as `Factors` found.
    """

    def __init__(self, codes: Activation, channel_axis: int, factors: Values | None = None) -> None:
        self.codes = codes
        self.channel_axis = channel_axis
        self.factors = factors
        self.size = 0
        """Values of one image."""
        self.clipped = 0
        self.zeroed = 0
        self._signal: list[float] = []
        self._noise: list[float] = []
        self._rounding: list[float] = []
        self._clipping: list[float] = []
        self._sums = np.zeros(2)
        """Of the float values, and of their squares."""
        self._shift: Powers | float = 0.0
        """Sum over images of each channel's mean error."""
        self._extremes: tuple[Values, Values, Values, Values] | None = None

    def add(self, original: Values, compressed: Values) -> None:
        """Take in what both files made of one image.

        Raises:
            ValueError: two shapes, so that these are not the same tensor.
        """
        if original.shape != compressed.shape:
            raise ValueError(f"{original.shape} and {compressed.shape}")
        if self.factors is not None:
            shape = [1] * original.ndim
            shape[_axis(original, self.channel_axis)] = -1
            original = original * self.factors.reshape(shape)
        self.size = original.size
        with np.errstate(invalid="ignore", over="ignore"):  # a broken file gives infinities
            error = compressed - original
            self._shift = self._shift + self._by_channel(error).mean(0, dtype=np.float64)
        self._signal.append(_power(original))
        self._noise.append(_power(error))
        self._sums += original.sum(dtype=np.float64), self._signal[-1]
        self._add_own(original)
        flat, other = self._by_channel(original), self._by_channel(compressed)
        now = flat.min(0), flat.max(0), other.min(0), other.max(0)
        if self._extremes is not None:
            joins = (np.minimum, np.maximum) * 2
            pairs = zip(joins, self._extremes, now, strict=True)
            now = tuple(join(before, new) for join, before, new in pairs)
        self._extremes = now

    def _add_own(self, original: Values) -> None:
        """The noise that the tensor's own codes would make of the float values."""
        low, high, step = self.codes.low, self.codes.high, self.codes.step
        if low is None or high is None or step is None:
            return
        held = np.clip(original, low, high)
        self._rounding.append(_power(np.rint((held - low) / step) * np.float32(step) + low - held))
        self._clipping.append(_power(original - held))
        # A value half a step outside still has a code as near as any other has.
        self.zeroed += int(np.count_nonzero((np.abs(original) < step / 2) & (original != 0)))
        self.clipped += int(np.count_nonzero(np.abs(original - held) > step / 2))

    def _by_channel(self, values: Values) -> Values:
        return _by_channel(values, self.channel_axis)

    @property
    def images(self) -> int:
        return len(self._signal)

    @cached_property
    def signal(self) -> Powers:
        """Sum of squares, one entry an image."""
        return np.asarray(self._signal, np.float64)

    @cached_property
    def noise(self) -> Powers:
        """Sum of squared errors; infinite where the compressed file gave no number."""
        noise: Powers = np.nan_to_num(np.asarray(self._noise), nan=np.inf, posinf=np.inf)
        return noise

    @cached_property
    def own(self) -> Powers:
        """Noise of the tensor's own codes alone: rounding and clipping; zero in float."""
        if not self._rounding:
            return np.zeros(self.images)
        own: Powers = np.asarray(self._rounding) + np.asarray(self._clipping)
        return own

    @property
    def clipping_share(self) -> float:
        """Of the noise of its own codes."""
        total = float(self.own.sum())
        return float(sum(self._clipping)) / total if total else 0.0

    @property
    def clipped_share(self) -> float | None:
        """Share of the values that lie outside of what the codes can stand for."""
        return self.clipped / (self.size * self.images) if self._rounding else None

    @property
    def zeroed_share(self) -> float | None:
        """Share of the values that are not zero, and whose code stands for zero."""
        return self.zeroed / (self.size * self.images) if self._rounding else None

    @property
    def sqnr_db(self) -> float:
        return float(np.median(stats.decibels(self.signal, self.noise)))

    @property
    def codes_db(self) -> float | None:
        """What the SQNR would be if nothing but its own codes made noise."""
        if not self._rounding:
            return None
        return float(np.median(stats.decibels(self.signal, self.own)))

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value in the float file."""
        lows, highs, _, _ = self._seen()
        return float(lows.min()), float(highs.max())

    @property
    def channels(self) -> int:
        return len(self._seen()[0])

    @property
    def dead(self) -> tuple[int, int]:
        """Channels that are constant in the compressed file alone, and those that are in both."""
        lows, highs, other_lows, other_highs = self._seen()
        silent, lost = lows == highs, other_lows == other_highs
        return int(np.sum(lost & ~silent)), int(np.sum(lost & silent))

    @property
    def channel_spread(self) -> float:
        """How many times wider the widest channel is than the median one, of those that live."""
        lows, highs, _, _ = self._seen()
        widths = (highs - lows)[highs > lows]
        return float(widths.max() / np.median(widths)) if widths.size else 1.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the float values."""
        mean, square = self._sums / (self.size * self.images)
        return float(np.sqrt(max(square - mean**2, 0.0)))

    @property
    def bias_share(self) -> float:
        """Share of the noise that is a constant shift of each channel, the same in all images."""
        total = float(np.sum(self.noise))
        if not np.isfinite(total) or not total:
            return 0.0
        shift = np.square(self._shift / self.images).sum() * self.size / self.channels
        return min(float(shift) * self.images / total, 1.0)

    def _seen(self) -> tuple[Values, Values, Values, Values]:
        assert self._extremes is not None, "no image was added"
        return self._extremes


class Factors:
    """How many times larger each channel of a tensor is in the compressed file.

    Cross-layer equalisation and SmoothQuant make channels larger or smaller before they are
    quantised, and take it back in the next layer. By least squares over all images; a channel that
    does not follow its original has no factor.
    """

    def __init__(self, channel_axis: int) -> None:
        self.channel_axis = channel_axis
        self._powers: Powers | float = 0.0
        """Of the original, of both and of the compressed, shape (3, channels)."""

    def add(self, original: Values, compressed: Values) -> None:
        one, other = (
            _by_channel(values, self.channel_axis).astype(np.float64)
            for values in (original, compressed)
        )
        self._powers = self._powers + np.stack([p.sum(0) for p in (one**2, one * other, other**2)])

    def found(self) -> Values:
        first, both, second = np.asarray(self._powers)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor, fit = both / first, both**2 / (first * second)
        follows = (fit >= FOLLOWS) & (factor > 0) & np.isfinite(factor)
        return np.where(follows, factor, 1.0).astype(np.float32)


def _axis(values: Values, channel_axis: int) -> int:
    return channel_axis if values.ndim == 4 else -1


def _by_channel(values: Values, channel_axis: int) -> Values:
    """The values of each channel, shape (values of one channel, channels)."""
    moved = np.moveaxis(np.atleast_1d(values), _axis(values, channel_axis), -1)
    return moved.reshape(-1, moved.shape[-1])


def _power(values: Values) -> float:
    flat = values.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.dot(flat, flat)) if flat.size else 0.0
