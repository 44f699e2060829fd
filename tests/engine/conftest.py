"""What the engine's tests share."""

import sys
from pathlib import Path

# Jobs in process_jobs.py are called by name in child processes, which look where this process looks.
sys.path.append(str(Path(__file__).parent))
