"""The command `learning-machine`: checks that what it needs is installed, then hands over to `learning_ops.cli`."""

import sys

from learning_ops.extras import MissingExtra, require_extra


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage or an extra that is missing."""
    try:
        for module in ("typer", "rich"):
            require_extra("ops", module)
    except MissingExtra as missing:
        sys.stderr.write(f"{missing}\n")
        raise SystemExit(2) from None
    from learning_ops.cli import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
