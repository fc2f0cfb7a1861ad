"""`python -m realtime.cli`: what ./run executes, since a script's first line may not hold a long path."""

from realtime.cli import main

if __name__ == "__main__":
    main()
