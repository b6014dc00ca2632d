"""The references, under the name of the learner's answers: import this before anything of `katas`."""

import sys
from pathlib import Path
from types import ModuleType

katas = ModuleType("katas")
katas.__path__ = [str(Path(__file__).parent.parent / "solutions")]  # where its modules are looked for
sys.modules["katas"] = katas
