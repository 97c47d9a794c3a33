"""The estimators' parameters, and the jobs' keys that set them."""

from __future__ import annotations

import re

# Parameters that fit and select have in common: key of the section [model].
FITTING_KEYS = {
    "maxIter": "max_iter",
    "tol": "tol",
    "seed": "seed",
    "nInit": "n_init",
    "initMode": "init_mode",
    "regCovar": "reg_covar",
    "varianceFloor": "variance_floor",
    "sampleRows": "sample_rows",
    "accelerate": "accelerate",
    "precision": "precision",
    "packing": "packing",
}
KEYS = {
    "inputCols": "features.columns",
    "weightCol": "features.weight",
    "weightKind": "features.weight_kind",
    "handleInvalid": "features.handle_invalid",
    "k": "model.k",
    "covarianceType": "model.covariance_type",
    "noise": "model.noise",
    "noises": "selection.noises",
    "ks": "selection.ks",
    "covarianceTypes": "selection.covariance_types",
    "validationFraction": "selection.validation_fraction",
} | {parameter: f"model.{key}" for parameter, key in FITTING_KEYS.items()}

_OWN_WORDS = "|".join(name for name in KEYS if not name.islower())
_NAMED = re.compile(f"""'[^']*'|"[^"]*"|`[^`]*`|\\b(?:{_OWN_WORDS})\\b""")


def name_keys(text: str) -> str:
    """Put the jobs' keys in place of the parameters in backticks.

    Examples
    --------
    >>> name_keys("Raise `maxIter` or `tol`.")
    'Raise model.max_iter or model.tol.'
    """
    return re.sub("`(\\w+)`", lambda found: KEYS.get(found[1], found[1]), text)


def name_keys_in_error(text: str) -> str:
    """Put the jobs' keys in place of the parameters that an error of the estimators names, other than in quotes.

    Names that are words of their own, such as k and seed, stay.

    Examples
    --------
    >>> name_keys_in_error("weightCol='inputCols' has nulls; set handleInvalid to 'skip'")
    "features.weight='inputCols' has nulls; set features.handle_invalid to 'skip'"
    """
    return _NAMED.sub(lambda found: KEYS.get(found[0], found[0]), text)
