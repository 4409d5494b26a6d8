"""Futures that a model has drawn for each coming hour → quantiles of the peak over a horizon.

In: samples of hourly maxima [samples, hours], each row one whole future. Out: for every starting hour and
every number of hours, quantiles of the highest value. The maximum is taken within each future before the
quantile, so hours that rise together count once. Beyond what so many samples can resolve, the tail is an
exponential with the mean excess of the topmost twentieth.
"""

from collections.abc import Sequence

import numpy as np

from plimsoll.forecast.window import FloatArray

# Samples that must lie above a quantile for it to be read off; 1000 samples resolve 0.99.
SAMPLES_ABOVE = 10
TAIL_SHARE = 0.05


def peak_quantiles(samples_bytes: FloatArray, spans: Sequence[int], levels: FloatArray) -> FloatArray:
    """Quantiles [hours - max(spans) + 1, spans, levels] of the peak of `spans` hours from each hour on."""
    hours = samples_bytes.shape[1] - max(spans) + 1
    if hours < 1:
        raise ValueError(f"{samples_bytes.shape[1]} hours were drawn, too few for a span of {max(spans)}")
    out = np.empty((hours, len(spans), len(levels)))
    for place, span in enumerate(spans):
        windows = np.lib.stride_tricks.sliding_window_view(samples_bytes, span, axis=1)[:, :hours]
        out[:, place] = sample_quantiles(windows.max(axis=2), levels).T
    return out


def sample_quantiles(samples: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles [levels, m] of each column of `samples` [s, m], rising with the level."""
    count = len(samples)
    resolved = levels <= 1 - SAMPLES_ABOVE / count
    out = np.empty((len(levels), samples.shape[1]))
    out[resolved] = np.quantile(samples, levels[resolved], axis=0)
    threshold = np.quantile(samples, 1 - TAIL_SHARE, axis=0)
    over = np.maximum(samples - threshold, 0.0).sum(axis=0)
    excess = over / np.maximum(np.count_nonzero(samples > threshold, axis=0), 1)
    beyond = np.log(TAIL_SHARE / (1 - levels[~resolved]))
    out[~resolved] = threshold + excess * beyond[:, None]
    return np.maximum.accumulate(out, axis=0)
