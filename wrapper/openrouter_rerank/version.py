"""The version of the distribution, for the build and for the User-Agent; nothing else."""

VERSION = "0.1.0"
