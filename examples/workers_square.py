"""Start a pool of two workers, have a ClientThread square numbers there, and stop the pool.

With Slurm the pool is three jobs, else three processes of this machine; in both cases what they
print is in `cmaster.out` and `cworkers.out`.

    $ python examples/workers_square.py

prints

    the square of 0 is 0
    the square of 1 is 1
    the square of 2 is 4
    the square of 3 is 9
    the square of 4 is 16
"""

from dispycos.workers import ClientThread, start, stop


def square(number):
    return number * number


def main():
    results = {}
    host = start(nworkers=2, port=0)
    try:
        with ClientThread(results.__setitem__, host) as client:
            for number in range(5):
                client.submit(number, square, number)
            client.wait()
    finally:
        stop(host)
    for number in sorted(results):
        print(f"the square of {number} is {results[number]}")


if __name__ == "__main__":
    main()
