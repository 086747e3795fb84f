"""The program that dispycos_client5.py runs on servers: for each line it reads, it writes one.

It knows nothing of dispycos, and could be written in any language.
"""

import sys

for number, line in enumerate(sys.stdin, 1):
    print(f"Line {number} has {len(line.rstrip())} characters, {len(line.split())} words", flush=True)
