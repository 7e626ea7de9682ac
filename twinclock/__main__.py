"""`python -m twinclock` is the command `twinclock`."""

from twinclock.main import main

if __name__ == "__main__":
    main(prog_name="twinclock")
