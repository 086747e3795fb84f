"""A pool of workers for a `with` block, as an executor of `concurrent.futures`.

With Slurm the workers are jobs of it, else processes of this machine; they end with the block,
however it is left.

    $ python examples/workers_with.py

prints

    385 is the sum of 10 squares
    a job says: division by zero
"""

from concurrent.futures import as_completed

from dispycos.workers import ClusterExecutor, allocate


def square(number):
    return number * number


def main():
    with allocate(2) as host, ClusterExecutor(host) as executor:
        futures = [executor.submit(square, number) for number in range(1, 11)]
        total = sum(future.result() for future in as_completed(futures))
        print(f"{total} is the sum of {len(futures)} squares")
        error = executor.submit(lambda: 1 / 0).exception()
        print(f"a job says: {error}")


if __name__ == "__main__":
    main()
