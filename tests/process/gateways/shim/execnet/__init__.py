"""What a program that imports execnet finds here: dispycos's gateways, under execnet's name."""

from dispycos.gateways import *  # noqa: F403 - the whole vocabulary
from execnet import gateway_base as gateway_base  # type: ignore[attr-defined]  # beside this file
