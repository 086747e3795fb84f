"""Where execnet keeps what both ends of a gateway use."""

from dispycos.gateways import Channel as Channel
from dispycos.gateways import DumpError as DumpError
from dispycos.gateways.execmodel import ExecModel as ExecModel
