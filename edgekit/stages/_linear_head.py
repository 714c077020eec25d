"""A linear classifier on frozen features: how a foundation backbone becomes a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.engine.artifact import Json
from edgekit.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = tuple(10.0**power for power in range(-4, 2))
"""Values of C, the inverse of the regularisation, among which cross-validation chooses."""
FOLDS = 5


def fit_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], Json]:
    """Fit a logistic regression to the standardised features of all views.

    C is the one whose log loss on held-out images is lowest in a stratified cross-validation, which
    keeps the views of an image together: the student learns from the probabilities, not from the
    decision alone. Only training images come here.

    Args:
        features: (views, images, features).
        labels: (images,), indices of `classes`.

    Returns:
        a function from features (rows, features) to scores (rows, classes), the logarithms of
        probabilities up to a constant; and what was chosen, with the accuracy on the views of
        held-out images, in percent.

    Raises:
        DataError: a class has fewer than two training images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = np.bincount(labels, minlength=len(classes))
    scarce = [name for name, count in zip(classes, counts, strict=True) if count < 2]
    if scarce:
        raise DataError(
            f"a linear head needs two training images of every class; too few of "
            f"{', '.join(scarce[:5])}",
            hint="add training images of these classes",
        )
    views, images = features.shape[:2]
    rows = np.arange(views * images).reshape(views, images)  # of the features, as rows are stacked
    folds = StratifiedKFold(min(FOLDS, int(counts.min())), shuffle=True, random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": STRENGTHS},
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        cv=[
            (rows[:, learned].ravel(), rows[:, held_out].ravel())
            for learned, held_out in folds.split(labels, labels)
        ],
    )
    search.fit(features.reshape(views * images, -1), np.tile(labels, views))
    best, trials = search.best_index_, search.cv_results_
    record = {
        "c": search.best_params_["logisticregression__C"],
        "folds": folds.n_splits,
        "features": features.shape[2],
        "held_out_accuracy": round(100 * float(trials["mean_test_accuracy"][best]), 2),
        "held_out_log_loss": round(-float(trials["mean_test_neg_log_loss"][best]), 4),
    }
    fitted: Any = search.best_estimator_

    def score(features: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = fitted.decision_function(features)
        if scores.ndim == 1:  # of two classes, the score of the second against the first
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        return np.asarray(scores, np.float32)

    return score, record
