"""joblib's Parallel on servers: a search for the best point of a grid, without a line for the cluster.

scikit-learn's `GridSearchCV(..., n_jobs=-1)` and all else that uses joblib runs there in the same way.
It needs joblib: pip install 'dispycos[joblib]'.

    python examples/joblib_grid.py

prints

    tried 441 points in other processes: True
    the best is 0.0 at (1.0, -2.0)
"""

import itertools
import os

from joblib import Parallel, delayed, parallel_config

import dispycos.joblib  # noqa: F401  # makes the backend known


def bowl(x, y):
    return (x - 1) ** 2 + (y + 2) ** 2, (x, y), os.getpid()


def main():
    axis = [step / 2 for step in range(-10, 11)]
    with parallel_config(backend="dispycos", n_jobs=2):  # or client=client: on its servers, n_jobs=-1: all
        found = Parallel()(delayed(bowl)(x, y) for x, y in itertools.product(axis, axis))
    elsewhere = all(process != os.getpid() for _, _, process in found)
    print(f"tried {len(found)} points in other processes: {elsewhere}")
    value, place, _ = min(found)
    print(f"the best is {value} at {place}")


if __name__ == "__main__":
    main()
