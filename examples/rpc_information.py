"""Information as a resource: a service answers from data that stays where it is.

The client may ask what the service exports, and nothing else of it.

    python examples/rpc_information.py

prints

    temperatures in Oslo: [-3.5, 1.0, 4.5]
    warmest: ('Lima', 24.0)
    cannot access 'log'
"""

from dispycos import rpc


class Weather(rpc.Service):
    log = {"Oslo": [-3.5, 1.0, 4.5], "Lima": [19.0, 24.0]}

    def exposed_temperatures(self, place):
        return self.log[place]

    def exposed_warmest(self):
        return max(((place, max(found)) for place, found in self.log.items()), key=lambda pair: pair[1])


def main():
    server = rpc.ThreadedServer(Weather, port=0)
    server.start_in_thread()
    with rpc.connect("localhost", server.port) as conn:
        print("temperatures in Oslo:", conn.root.temperatures("Oslo"))
        print("warmest:", conn.root.warmest())
        try:
            conn.root.log
        except AttributeError as exc:
            print(exc)
    server.close()


if __name__ == "__main__":
    main()
