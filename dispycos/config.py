"""Every limit, interval and default of dispycos, each with its unit and its reason.

`Limits` is one frozen record; a process makes one when it starts (`limits()`) and hands it
to its machines. Tests shrink values with `dataclasses.replace` and nowhere else. The names
in capitals-and-lowers at the end are the founding document's: a program may assign them
before its first Task, and `limits()` takes them up.

Pure. Layer 0.
"""

from __future__ import annotations

from dataclasses import replace

from dispycos.records import record

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# What pip calls this version: pyproject.toml reads it here.
RELEASE = "0.1.0"

# The versions of the wire that this release speaks (GN-07, R-30).
WIRE_VERSION = 1
WIRE_VERSION_MIN = 1


@record
class Limits:
    """Times are seconds, sizes are bytes, unless a field says otherwise."""

    # Handshake (SE-13 to SE-15).
    handshake_timeout: float = 5.0  # from accept to proof, however slowly bytes drip
    max_unfinished_handshakes: int = 64  # in all; beyond it a new one is closed at once
    max_unfinished_per_source: int = 8  # from one address
    max_handshake_failures: int = 10  # in failure_window, then the source is shut out
    failure_window: float = 60.0  # over which failures count, and for which a source is out
    max_failure_sources: int = 1024  # addresses remembered; the oldest is forgotten

    # Frames and messages (SE-16, SE-18, R-23).
    max_frame_bytes: int = MIB + 4 * KIB  # body of one frame: a slice and its header
    slice_bytes: int = MIB  # a longer message travels in slices of this size
    max_control_bytes: int = MIB  # the msgpack part of a message
    max_message_bytes: int = GIB  # a whole message with its attachments
    max_buffers: int = 1024  # out-of-band buffers of one message (SE-25)
    out_of_band_bytes: int = 32 * KIB  # smaller buffers are cheaper inside the pickle
    max_elements: int = 10_000  # of a control message (SE-23)
    max_text_bytes: int = 64 * KIB  # one text of a control message
    max_name_chars: int = 255  # names that peers state (SE-27)
    max_reason_chars: int = 4096  # texts that peers state

    # Sessions (N2, R-40, R-50).
    max_sessions: int = 20_000  # of one process: 10,000 servers, their nodes, and as much again
    max_unacked_bytes: int = 8 * MIB  # kept for a replay; full: the sender waits
    max_unacked_frames: int = 4096
    max_queued_bytes: int = 64 * MIB  # waiting behind that; full: back-pressure (N4)
    ack_after_bytes: int = MIB  # received without a word of ours, before we acknowledge
    ack_after_frames: int = 256
    keepalive: float = 2.0  # K: silence of ours before a keep-alive goes out
    suspect_after: float = 6.0  # 3 K: silence of theirs before a peer is suspect
    redial_first: float = 0.1  # seconds before the first new dial; doubles
    redial_max: float = 30.0  # ... up to this
    redial_max_suspect: float = 3.0  # ... or this, while a session waits for it
    redial_jitter: float = 0.5  # +- this share, so that peers don't dial in step
    refusals_until_lost: int = 3  # dials actively refused ...
    refusal_window: float = 5.0  # ... within this: the process is gone (RELIABILITY 1)
    unreachable_kept: float = 1000.0  # H: a vanished peer that has no address to dial is waited for

    # Discovery (SE-28 to SE-32).
    datagram_valid: float = 60.0  # age by the clock
    max_dials_per_second: int = 5  # that datagrams may cause
    max_answers_per_second: int = 100  # to datagrams, in all
    max_answers_per_source: int = 10  # ... and per source
    max_datagram_sources: int = 1024  # counted; the oldest is forgotten
    datagram_cache: int = 4096  # tags remembered against replays

    # Nodes, servers, clients (RELIABILITY 1).
    zombie_pulses: int = 5  # Z and L: pulses without a sign of life
    grace: float = 5.0  # G: between KeyboardInterrupt in a task and its forced end
    first_word: float = 3.0  # a client that knows no node at all says so after this
    visible_wait: float = 10.0  # V: a longer wait shows its reason ...
    visible_wait_again: float = 60.0  # ... and shows it again after this
    request_timeout: float = 10.0  # a question to a live peer
    setup_retries: int = 3  # node_setup or server_setup killed by a signal is tried again
    restart_backoff_max: float = 30.0  # between attempts to fork a server, from 1, doubling
    max_worker_deaths: int = 3  # servers that one task may kill
    max_queued_clients: int = 1000  # that wait for their turn; one more is refused
    max_client_rules: int = 1000  # allocation rules of one client; one more is ignored
    reconcile_interval: float = 30.0  # between comparisons of what both sides hold
    max_output_lines: int = 20  # of a dead server's output, in the reason of its tasks
    max_ended_records: int = 10_000  # ended tasks remembered; running ones never go

    # Dispatch (D1).
    max_credits: int = 256  # tasks sent ahead to one server
    max_io_credits: int = 1024  # I/O tasks on one server
    batch_tasks: int = 256  # task records in one message
    send_ahead_time: float = 0.010  # seconds of work sent ahead: covers a round trip

    # Files (SE-47, SE-48).
    max_file_bytes: int = 0  # per file; 0: only the client's total counts
    max_client_files: int = 100_000
    max_client_bytes: int = 10 * GIB
    max_path_parts: int = 8
    max_path_part_bytes: int = 255
    max_file_transfers: int = 64  # of one peer at a time
    file_window: int = 4  # slices that the receiver lets the sender send on, at a time
    file_idle: float = 60.0  # between slices; then the transfer is given up


# Both ends of a session must agree on these and no HELLO names them: they belong to the version
# of the wire, are the same in every process, and an endpoint refuses a record that differs. The
# size of a message is not among them: the smaller of what both HELLOs say holds.
WIRE_LIMITS = (
    "max_frame_bytes",
    "slice_bytes",
    "max_control_bytes",
    "max_buffers",
    "out_of_band_bytes",
    "max_elements",
    "max_text_bytes",
    "max_name_chars",
    "max_reason_chars",
)


def of_the_wire(limits: Limits) -> None:
    """ValueError if the record differs where the wire allows no difference."""
    standard = Limits()
    for name in WIRE_LIMITS:
        value, wanted = getattr(limits, name), getattr(standard, name)
        if value != wanted:
            raise ValueError(
                f"{name}={value}: it is {wanted} in every process of wire version {WIRE_VERSION}"
            )


# Names of the founding document (KE-33).

MsgTimeout: float = 10  # seconds for a message to a peer
MinPulseInterval: float = 10  # seconds; the shortest pulse_interval of a client
MaxPulseInterval: float = 100  # seconds; the longest
NetPort: int = 9705  # UDP and TCP port of pycos
DispycosSchedulerPort: int = 9705  # TCP port of a shared scheduler
DispycosNodePort: int = 9706  # first TCP port of a node
MaxConnectionErrors: int = 10  # refused dials that prove at the latest that a peer is gone
IPV4_MULTICAST_GROUP: str = "239.255.97.5"  # site-local
IPV6_MULTICAST_GROUP: str = "ff05::674f:48ba:b409:3171:9705"


def limits() -> Limits:
    """The record for this process, with what the program assigned to the names above."""
    standard = Limits()
    return replace(
        standard,
        request_timeout=float(MsgTimeout),
        unreachable_kept=10 * float(MaxPulseInterval),
        # Refusals close together prove it sooner: the founding number is the most that it may take.
        refusals_until_lost=max(1, min(standard.refusals_until_lost, int(MaxConnectionErrors))),
    )
