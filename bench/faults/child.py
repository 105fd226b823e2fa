"""One case in a process of its own: `python -m bench.faults.child NAME KIND SHARE SERVER`.

The last line that it prints is the verdict as JSON. Whatever it writes to standard
error, such as a task whose exception nobody took, counts as a problem.
"""

from __future__ import annotations

import json
import sys

from bench.faults.cases import find_case
from bench.faults.world import World


def main() -> None:
    name, kind, share, server = sys.argv[1:]
    with World(kind, server, float(share)) as world:
        verdict = find_case(name).work(world)
    print(json.dumps(verdict.as_dict()))


if __name__ == "__main__":
    main()
