"""Classical models on the same notes and splits (M80): what a language model has to be better than."""

BASELINES = ("tfidf-logistic", "tfidf-trees", "structured-logistic", "structured-trees")
"""Keys of `models.KINDS`; here because the definitions do without the libraries."""
