"""Business logic as a resource: rules that one department decides, found by name in a registry.

    python examples/rpc_logic.py

prints

    services: ('PAYROLL',)
    salary of David Mertz: 4200
    checked 4200
    'Dana' is not employed
"""

import time

from dispycos import rpc


class PayrollService(rpc.Service):
    base = {"David": 4000}

    def exposed_salary(self, *, first, last):
        if first not in self.base:
            raise LookupError(f"{first!r} is not employed")
        return self.base[first] + 200

    def exposed_review(self, first, callback):
        callback(self.exposed_salary(first=first, last=""))


def main():
    registry = rpc.utils.registry.RegistryServer(port=0)
    registry.start_in_thread()
    registrar = rpc.RegistryClient("localhost", registry.port)
    server = rpc.ThreadedServer(PayrollService, port=0, registrar=registrar)
    server.start_in_thread()
    while not rpc.list_services(registrar):
        time.sleep(0.05)
    print("services:", rpc.list_services(registrar))

    with rpc.connect_by_service("PAYROLL", registrar=registrar) as conn:
        print("salary of David Mertz:", conn.root.salary(last="Mertz", first="David"))
        conn.root.review("David", lambda salary: print("checked", salary))
        try:
            conn.root.salary(last="Scully", first="Dana")
        except LookupError as exc:
            print(exc)
    server.close()
    registry.close()


if __name__ == "__main__":
    main()
