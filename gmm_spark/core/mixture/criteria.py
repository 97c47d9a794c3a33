"""Information criteria; for all of them smaller is better."""

from __future__ import annotations

import math


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Akaike's criterion, -2 LL + 2 p (Akaike 1974).

    Examples
    --------
    >>> aic(-100.0, 5)
    210.0
    """
    return -2.0 * log_likelihood + 2.0 * n_parameters


def bic(log_likelihood: float, n_parameters: int, weight_sum: float) -> float:
    """Schwarz's criterion, -2 LL + p ln n (Schwarz 1978); ``weight_sum`` is n, or the weights' sum.

    Examples
    --------
    >>> round(bic(-1130.2640, 11, 272), 3)
    2322.192
    """
    return -2.0 * log_likelihood + n_parameters * math.log(weight_sum)


def icl(log_likelihood: float, n_parameters: int, weight_sum: float, entropy: float) -> float:
    """BIC plus twice the responsibilities' entropy, in nats (Biernacki, Celeux & Govaert 2000)."""
    return bic(log_likelihood, n_parameters, weight_sum) + 2.0 * entropy


def count_effective_rows(weight_sum: float, weight_squares: float) -> float:
    """Count the rows of equal weight that would say as much: (sum w)^2 / sum w^2 (Kish 1965); 0 if there is no weight.

    The mean of independent values under these weights has the variance that it has over so many rows of equal weight.
    It is the number of rows if all weights are equal, and does not change if all are multiplied by a constant.

    Examples
    --------
    >>> count_effective_rows(4 * 0.5, 4 * 0.25)
    4.0
    """
    return weight_sum * (weight_sum / weight_squares) if weight_squares > 0 else 0.0
