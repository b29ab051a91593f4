#!/usr/bin/env python3
"""The door for people who work on the pack or try it: ``python dev.py VERB``.

Needs only Python. The first use of a verb makes an environment with PyTorch and ComfyUI in a cache folder outside
the repository, later uses find it there. The work of each verb lives in a module of its own.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - whatever Python is at hand starts this file
    sys.exit("dev.py needs Python 3.10 or newer; start it with a newer one, for example python3.12 dev.py.")

from tools.door import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
