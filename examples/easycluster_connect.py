"""Connect to the servers that the command line names, and ask each who it is.

    easycluster -g common.key
    easycluster -S -k common.key &
    python examples/easycluster_connect.py -k common.key localhost

prints

    127.0.0.1:11999: 1 + 1 = 2

Each argument is [user@]host[:port][:option=value]..; `oddhost:kf=other.key` has a key of its own.
"""

import argparse

import dispycos.easycluster as easycluster

parser = argparse.ArgumentParser(description="Ask servers something")
easycluster.add_key_options(parser)
parser.add_argument("specs", nargs="+", metavar="HOST")
options = parser.parse_args()
default_key = easycluster.key_from_options(options)

remotes = []
for spec in options.specs:
    params = easycluster.parse_connection_spec(spec, default_key=default_key)
    remotes.append(easycluster.Client(**params))

for rmt, answer in zip(remotes, easycluster.eval_multi(remotes, "1 + 1"), strict=True):
    print(f"{rmt.remote_host}:{rmt.remote_port}: 1 + 1 = {answer}")
    rmt.close()
