"""`python -m twinclock` is the command `twinclock`."""


def start() -> None:
    """Run the command. What it needs is loaded here: Ctrl-C while that goes on shows no traceback either."""
    try:
        from twinclock.main import main

        main(prog_name="twinclock")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    start()
