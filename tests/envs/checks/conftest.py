"""Makes the broken environments importable by name, as another process needs it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
