"""An asyncio program: calls on servers are awaited, together, one by one, and up to a deadline.

    python examples/asyncio_client.py

prints

    6! = 720
    digits of 100!, 200!, 300!: 158 375 615
    first to end: 3
    the endless one was cancelled there, too: True
    factorials: 1 2 6 24 120
"""

import asyncio
import math
import time

from dispycos import Client, LocalCluster, as_completed, wait


def digits(n):
    return len(str(math.factorial(n)))


def naps(seconds):
    time.sleep(seconds)
    return seconds


def endless(task=None):
    yield task.sleep()


async def main():
    async with LocalCluster(2), Client() as client:
        print("6! =", await client.submit(math.factorial, 6))
        several = await asyncio.gather(*(client.submit(digits, n) for n in (100, 200, 300)))
        print("digits of 100!, 200!, 300!:", *several)

        async for future in as_completed([client.submit(digits, 5), client.submit(naps, 0.3)]):
            print("first to end:", await future)
            break

        # A cancelled await cancels the call: here by a deadline.
        call = client.submit(endless)
        try:
            await asyncio.wait_for(call, 0.5)
        except TimeoutError:
            await wait([call])
            print("the endless one was cancelled there, too:", call.cancelled())

        results = client.map(math.factorial, range(1, 6))
        print("factorials:", *[result async for result in results])


if __name__ == "__main__":
    asyncio.run(main())
