"""A plain program: functions are called on servers, in bulk and one by one, without tasks of its own.

    python examples/map.py

prints

    primes below 100: 25
    the first five numbers with 3 divisors: 4 9 25 49 121
    10 has 4 divisors
    100 has 9 divisors
"""

import itertools

from dispycos import Client, LocalCluster, as_completed


def divisors(n):
    # Runs in a server's process, on any CPU of any machine.
    return sum(n % d == 0 for d in range(1, n + 1))


def main():
    client = Client([divisors])
    client.schedule().result()

    # Results in order, as with the builtin map. Short items travel many at a time.
    print("primes below 100:", sum(count == 2 for count in client.map(divisors, range(1, 100))))

    # It is lazy: an input without end is read as far as results are taken.
    counts = enumerate(client.map(divisors, itertools.count(1)), 1)
    threes = (n for n, count in counts if count == 3)
    print("the first five numbers with 3 divisors:", *itertools.islice(threes, 5))

    # One call, one Future.
    futures = {client.submit(divisors, n): n for n in (10, 100)}
    for future in sorted(as_completed(futures), key=futures.get):
        print(f"{futures[future]} has {future.result()} divisors")
    client.close().result()


if __name__ == "__main__":
    with LocalCluster(2):
        main()
