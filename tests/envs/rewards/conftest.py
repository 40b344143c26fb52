"""Makes the episodes that are played by hand importable by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
