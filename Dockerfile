# syntax=docker/dockerfile:1
#
# A dispycos node in a container; with the command `dispycos`, a scheduler.
#
#   docker build -t dispycos .            from a checkout: installs that checkout
#                                         from an empty folder: installs the released package
#
# The cluster's key never becomes part of an image: no COPY, ENV or ARG of it, and none on a command
# line, where every process of the host could read it. Hand it over when the container starts, as a
# file that only the node's user may read (user id 1000):
#
#   docker run --network host \
#       --mount type=bind,source="$HOME/.config/dispycos/key",target=/run/secrets/dispycos_key,readonly \
#       dispycos
#
# With Swarm or Compose name the secret `dispycos_key` (uid 1000, mode 0400); with Kubernetes mount it
# there with `defaultMode: 0400`. Options of the node go at the end of the command:
#
#   docker run ... dispycos dispycosnode --serve 1
#
# In a loop, `--serve 1` gives each client a fresh container: `while docker run --rm ... dispycos
# dispycosnode --daemon --serve 1; do :; done`. Without the host's network publish the ports and say
# where the node is reached: `-p 9706-9714:9706-9714 ... dispycosnode --ext_ip_addr HOST`.
# `compose.yaml` beside this file starts a scheduler and two nodes that share a key.

FROM python:3.11-slim

# What is installed comes from the build context where it is a checkout. It is mounted, not copied, so
# nothing else of it can end up in a layer.
RUN --mount=type=bind,target=/context,rw \
    if [ -f /context/setup.py ]; then source=/context; else source=; fi; \
    pip install --no-cache-dir "${source:+dispycos[speed] @ file://}${source:-dispycos[speed]}"

# The second folder is for a volume with a scheduler's journal.
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin dispycos \
    && install --directory --mode=0700 --owner=dispycos /var/lib/dispycos
USER dispycos
WORKDIR /home/dispycos

# Where the key is found, not the key.
ENV DISPYCOS_SECRET_FILE=/run/secrets/dispycos_key

# UDP and TCP of the node, then one TCP port for each server.
EXPOSE 9706/udp 9706-9714/tcp

# A process that listens takes connections: nothing is proved, and nothing is said. A scheduler's port
# is 9705, see compose.yaml.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s \
    CMD ["python", "-c", "import socket; from dispycos.net.addresses import default_address; socket.create_connection((default_address(), 9706), 3)"]

# Ctrl-C's signal lets the node end its clients in order.
STOPSIGNAL SIGINT
CMD ["dispycosnode"]
