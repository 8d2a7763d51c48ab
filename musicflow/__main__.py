"""`python -m musicflow`: the program."""

from musicflow.cli import main

if __name__ == "__main__":
    main()
