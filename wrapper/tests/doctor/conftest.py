"""Shared by the tests of the doctor: the servers are imported by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
