"""What to do about exceptions that the authors of plugins meet first. No torch."""

_KNOWN = (
    (
        "numpy() on Tensor that requires grad",
        "it leaves torch: set differentiable = False, and attacks go around it",
    ),
    (
        "unexpected keyword argument 'random'",
        "it is stochastic: write transform(self, x, *, random)",
    ),
    ("required keyword-only argument: 'random'", "set stochastic = True"),
    ("required positional argument: 'random'", "set stochastic = True"),
    ("(double) and bias type (float)", "return float32, as it came"),
    ("Found dtype Double", "return float32, as it came"),
)


def remedy(error: Exception) -> str:
    """Return what to do about an exception, or nothing where that is not known."""
    return next((what for sign, what in _KNOWN if sign in str(error)), "")
