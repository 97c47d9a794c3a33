"""From logarithms to shares of one: exp() without overflow, lost terms or denormal numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmm_spark.core.arrays import Block

# Sums of exp(log-density - peak) below which the terms that underflow might matter: such rows are worked again.
FAR = {np.dtype(np.float64): 2.0**-930, np.dtype(np.float32): 2.0**-93}
# Where exp() comes to the numbers that processors multiply a hundred times slower than others, the denormal ones.
_LEAST = {np.dtype(np.float64): -708.0, np.dtype(np.float32): -87.0}


def exponentiate(terms: Block, out: Block | None = None) -> None:
    """Take exp() of logarithms that are at most 0, keeping clear of denormal results; in place unless ``out`` is given.

    Where there would be any, results are rounded to a multiple of ``FAR`` / 2^23, or / 2^52 in float64: the smallest
    become 0, and sums of no less than ``FAR`` stay exact to rounding. Terms that low are raised to where they begin.
    """
    least, far = _LEAST[terms.dtype], FAR[terms.dtype]
    results = terms if out is None else out
    if terms.min(initial=0.0) >= least:
        np.exp(terms, out=results)
        return
    np.maximum(terms, least, out=terms)
    np.exp(terms, out=results)
    # The sum drops the digits that its last place does not hold, and to take the same off again is exact.
    results += far
    results -= far


def relative(log_prob: Block) -> Block:
    """Subtract the largest of each column of weighted log-densities (k, m), in place; return the largest, (m,)."""
    largest: Block = log_prob.max(axis=0)
    log_prob -= largest
    return largest


def leaders(terms: Block) -> NDArray[np.int32]:
    """Component that has a row's largest term, the first of equals, (m,), of what :func:`relative` left, (k, m).

    That term is 0, and to look for zeros takes a third of argmax() across rows.
    """
    m = terms.shape[1]
    found = np.zeros(m, np.int32)
    component, row = np.divmod(np.flatnonzero(terms == 0)[::-1], m)  # backwards: the first of equals is written last
    found[row] = component
    return found


def led_by(terms: Block) -> NDArray[np.int64]:
    """Count the rows that each component leads, as :func:`leaders` has it, (k,)."""
    zeros = terms == 0
    counts = np.array([np.count_nonzero(one) for one in zeros])
    if counts.sum() == terms.shape[1]:
        return counts
    return np.bincount(leaders(terms), minlength=len(terms))  # equals are not to count twice


def normalise(log_prob: Block) -> Block:
    """Turn weighted log-densities (k, m) into responsibilities, in place; return their log-sum-exp, (m,).

    The log-sum-exp is taken about the largest term, so neither far rows nor narrow components underflow.
    """
    largest = relative(log_prob)
    exponentiate(log_prob)
    total: Block = log_prob.sum(axis=0)
    log_prob /= total
    np.log(total, out=total)
    total += largest
    return total
