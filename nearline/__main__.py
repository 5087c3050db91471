"""`python -m nearline` is the `nearline` command."""

from nearline.cli import main

main()
