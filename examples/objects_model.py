"""A model kept in memory: loaded once, asked by an asyncio program, with a deadline for each question.

    python examples/objects_model.py

prints

    loaded once, in another process: True
    the mean of 1000 answers: 250000.0
    too slow: Model.ponder() did not end in 0.1 s
    still there: 6.25
"""

import asyncio
import os
import time

from dispycos import Client, LocalCluster


class Model:
    def __init__(self, weight):
        self.weight = weight  # of a real one, gigabytes read from a file

    def __call__(self, x):
        return self.weight * x * x

    def where(self):
        return os.getpid()

    def ponder(self):
        while True:
            time.sleep(0.01)


async def main():
    client = Client()
    await client.schedule()
    model = await client.object_at(None, Model, 0.25)
    print("loaded once, in another process:", await model.where() != os.getpid())
    answers = await asyncio.gather(*[asked(model, 1000) for _ in range(1000)])
    print("the mean of 1000 answers:", sum(answers) / len(answers))
    try:
        await model.ponder.options(timeout=0.1)()
    except TimeoutError as late:
        print("too slow:", late)
    print("still there:", await model(5))
    await model.close()
    await client.close()


async def asked(model, x):
    return await model(x)


if __name__ == "__main__":
    with LocalCluster(2):
        asyncio.run(main())
