"""Training: ``python -m uniavgen_core.training COMMAND``; on several devices, ``accelerate launch -m`` in its place."""

import sys
from importlib import import_module

COMMANDS = ("run", "export", "encode", "estimate")


def usage() -> str:
    """Summary of the commands."""
    lines = [__doc__, "", "commands:"]
    lines += [f"  {name:<9} {import_module(f'.cli.{name}_command', __package__).SUMMARY}" for name in COMMANDS]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run a command; returns its exit status."""
    name, *rest = arguments or ["--help"]
    if name in COMMANDS:
        return import_module(f".cli.{name}_command", __package__).main(rest)
    known = name in ("-h", "--help")
    print(usage() if known else f"There is no command {name}.\n\n{usage()}", file=sys.stdout if known else sys.stderr)
    return 0 if known and arguments else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
