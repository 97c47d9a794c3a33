"""From log-densities to responsibilities: exp() without overflow, lost terms or denormal numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Block

# Sums of exp(log-density - peak) below which terms lost by underflow might be significant; such rows are redone.
FAR = {np.dtype(np.float64): 2.0**-930, np.dtype(np.float32): 2.0**-93}
# Below these logarithms exp() is denormal; processors multiply denormal numbers a hundred times slower than others.
_LEAST = {np.dtype(np.float64): -708.0, np.dtype(np.float32): -87.0}
# What lower logarithms are raised to: exp() of it rounds to 0, and takes no longer than that of others. numpy's exp()
# is 15 times slower below -707.75 (float64, AVX-512), and up to 1.4 times slower near -87 (float32, AVX2).
RAISED = {np.dtype(np.float64): -700.0, np.dtype(np.float32): -86.0}


def exponentiate(terms: Block, out: Block | None = None) -> None:
    """Take exp() of logarithms that are at most 0, without denormal results; in place unless ``out`` is given.

    If any would be denormal, all results are rounded to multiples of ``FAR`` / 2^23 (float32) or ``FAR`` / 2^52
    (float64): the smallest become 0, and sums of at least ``FAR`` stay exact to rounding. Terms below ``RAISED``, whose
    exp() becomes 0, are raised to it, also in ``terms``.
    """
    least, raised, far = _LEAST[terms.dtype], RAISED[terms.dtype], FAR[terms.dtype]
    results = terms if out is None else out
    if terms.min(initial=0.0) >= least:
        np.exp(terms, out=results)
        return
    np.maximum(terms, raised, out=terms)
    np.exp(terms, out=results)
    # The sum rounds to its last place; the subtraction is exact.
    results += far
    results -= far


def subtract_largest(log_prob: Block) -> Block:
    """Subtract the largest term of each row from weighted log-densities (k, m), in place; return the largest, (m,)."""
    largest: Block = log_prob.max(axis=0)
    log_prob -= largest
    return largest


def find_leaders(terms: Block) -> NDArray[np.int32]:
    """Find the component with each row's largest term, the first of equals, (m,).

    Takes terms (k, m) as :func:`subtract_largest` leaves them: the largest are 0, and zeros are found faster than by
    argmax() along the columns.
    """
    m = terms.shape[1]
    found = np.zeros(m, np.int32)
    component, row = np.divmod(np.flatnonzero(terms == 0)[::-1], m)  # backwards: the first of equals is written last
    found[row] = component
    return found


def count_leaders(terms: Block) -> NDArray[np.int64]:
    """Count the rows whose leader each component is, (k,): :func:`find_leaders` and a count, but faster."""
    zeros = terms == 0
    counts = np.array([np.count_nonzero(one) for one in zeros])
    if counts.sum() == terms.shape[1]:
        return counts
    return np.bincount(find_leaders(terms), minlength=len(terms))  # equals must not count twice


def normalise(log_prob: Block) -> Block:
    """Turn weighted log-densities (k, m) into responsibilities, in place; return log p(row), (m,).

    The sum is taken relative to the largest term, so neither far rows nor narrow components underflow.
    """
    largest = subtract_largest(log_prob)
    exponentiate(log_prob)
    total: Block = log_prob.sum(axis=0)
    log_prob /= total
    np.log(total, out=total)
    total += largest
    return total
